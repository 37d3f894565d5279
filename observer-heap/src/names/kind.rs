//! The words names are told with: what kind of thing, and whose code named it.

/// What a function without a name is called.
pub(crate) const ANONYMOUS: &str = "(anonymous)";
/// What kind of thing a row counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Closures of one function.
    Closure,
    /// Calls of one async function or generator that wait to be continued.
    Suspended,
    /// Instances of one class or constructor.
    Object,
    /// Object literals with the same first properties.
    Shape,
    /// Arrays, Maps, Sets.
    Collection,
    /// Promises.
    Promise,
    /// ArrayBuffers and views of them; bytes include the memory outside the heap.
    Buffer,
    /// Strings.
    String,
    /// V8's own: backing stores, contexts, maps, code.
    Internal,
}

/// Whose code named it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The application's own scripts.
    Application,
    /// Below a `node_modules` directory.
    Dependency,
    /// Node's own library.
    Node,
    /// The language, or V8.
    Engine,
}

impl Origin {
    pub(crate) fn of(file: Option<&str>) -> Self {
        match file {
            None => Self::Engine,
            Some(file) if file.starts_with("node:") => Self::Node,
            Some(file) if file.contains("/node_modules/") => Self::Dependency,
            Some(_) => Self::Application,
        }
    }
}
