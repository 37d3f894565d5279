//! Reads [`Metadata`], produces single values, each within the bounds that V8's own structures impose, or the refusal that
//! names the missing or impossible one.

use crate::layout::metadata::Metadata;
use crate::layout::refusal::Refusal;

/// The largest offset any field the reader uses can have.
const LARGEST_OFFSET: u32 = 256;

/// Looks published values up and turns a missing or impossible one into its refusal.
pub(crate) struct Published<'a>(pub(crate) &'a Metadata);

impl Published<'_> {
    pub(crate) fn field(&self, class: &str, field: &str, name: &'static str) -> Result<u32, Refusal> {
        let offset = self.0.field(class, field).ok_or(Refusal::Unpublished(name))?;
        if offset < LARGEST_OFFSET {
            Ok(offset)
        } else {
            Err(Refusal::Implausible {
                name,
                value: offset.into(),
            })
        }
    }

    pub(crate) fn number(&self, name: &'static str) -> Result<u32, Refusal> {
        let value = self.0.get(name).ok_or(Refusal::Unpublished(name))?;
        u32::try_from(value).map_err(|_| Refusal::Implausible {
            name,
            value: value.into(),
        })
    }

    pub(crate) fn shift(&self, name: &'static str) -> Result<u32, Refusal> {
        match self.number(name)? {
            shift @ 0..32 => Ok(shift),
            other => Err(Refusal::Implausible {
                name,
                value: other.into(),
            }),
        }
    }

    pub(crate) fn instance_type(&self, class: &str, name: &'static str) -> Result<u16, Refusal> {
        self.0.instance_type(class).ok_or(Refusal::Unpublished(name))
    }
}
