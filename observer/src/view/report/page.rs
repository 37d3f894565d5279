//! What a page consists of: text, tables and a chart, in chapters and sections. Plain data, nothing of it escaped.

use observer_core::{detect::State, time::WallTime};

use super::plot::Plot;

/// Where the page's content comes from.
#[derive(Clone, Debug)]
pub struct About {
    /// In words.
    pub source: String,
    /// When it is made.
    pub made: WallTime,
}

/// A page.
#[derive(Debug)]
pub struct Page {
    pub(super) title: String,
    pub(super) about: Vec<String>,
    pub(super) index: Option<Table>,
    pub(super) chapters: Vec<Chapter>,
}

/// What is told of one container.
#[derive(Debug)]
pub(super) struct Chapter {
    /// What links lead to.
    pub(super) anchor: String,
    pub(super) name: String,
    pub(super) state: State,
    /// The verdict, in one sentence.
    pub(super) verdict: String,
    /// Name and value of the figures that matter most.
    pub(super) figures: Vec<(&'static str, String)>,
    pub(super) sections: Vec<Section>,
}

/// Something under a heading.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) heading: &'static str,
    pub(super) blocks: Vec<Block>,
}

#[derive(Debug)]
pub(super) enum Block {
    /// A sentence, or several.
    Text(String),
    /// Several, each for itself.
    Items(Vec<String>),
    Table(Table),
    Plot(Box<Plot>),
}

/// A table.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) head: Vec<Column>,
    pub(super) rows: Vec<Vec<String>>,
    /// What a row's first cell leads to, in the order of rows; none at all where nothing does.
    pub(super) links: Vec<Option<String>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    /// Numbers stand at their right edge.
    pub(super) number: bool,
    /// Its texts may be long and are broken.
    pub(super) long: bool,
}

/// A column of words.
pub(super) const fn left(name: &'static str) -> Column {
    Column {
        name,
        number: false,
        long: false,
    }
}

/// A column of names or sentences.
pub(super) const fn long(name: &'static str) -> Column {
    Column {
        name,
        number: false,
        long: true,
    }
}

/// A column of numbers.
pub(super) const fn right(name: &'static str) -> Column {
    Column {
        name,
        number: true,
        long: false,
    }
}

/// What links to a chapter lead to.
pub(super) fn anchor(nth: usize) -> String {
    format!("workload-{}", nth + 1)
}
