//! What an interrupted audit has judged: a file of one line for the questions and one for each container, read back by
//! the audit that goes on.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::{collect::Span, outcome::Judged};
use crate::history::prometheus::container::Place;

/// What was asked: an audit that asks something else cannot go on from here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) server: String,
    pub(super) selector: String,
    pub(super) namespaces: Vec<String>,
    pub(super) since_s: i64,
    pub(super) span: Span,
}

/// Takes what is judged.
#[derive(Debug)]
pub(super) struct Journal(File);

impl Journal {
    /// Opens the file, new or with what is in it: what was asked then, and what was judged.
    ///
    /// The time looked at is the first audit's: otherwise half of the containers would be judged by other data.
    pub(super) fn open(file: &Path, asked: Asked) -> anyhow::Result<(Self, Asked, BTreeMap<Place, Judged>)> {
        let cannot = || format!("cannot use {}", file.display());
        let opened = OpenOptions::new().read(true).append(true).create(true).open(file);
        let mut opened = opened.with_context(cannot)?;
        let mut lines = BufReader::new(&opened).lines();
        let Some(first) = lines.next().transpose().with_context(cannot)? else {
            drop(lines);
            let mut line = serde_json::to_string(&asked)?;
            line.push('\n');
            opened.write_all(line.as_bytes()).with_context(cannot)?;
            return Ok((Self(opened), asked, BTreeMap::new()));
        };
        let then: Asked =
            serde_json::from_str(&first).with_context(|| format!("{} was not written by an audit", file.display()))?;
        let same = Asked {
            span: Span {
                step: then.span.step,
                ..asked.span
            },
            ..then.clone()
        };
        if same != asked {
            bail!(
                "{} belongs to an audit of other containers, of another time or of another server; give a file of its own",
                file.display()
            );
        }
        let mut judged = BTreeMap::new();
        let mut torn = false;
        for line in lines {
            match serde_json::from_str::<Judged>(&line.with_context(cannot)?) {
                Ok(one) => {
                    judged.insert(one.place(), one);
                }
                // The last line of an audit that was killed.
                Err(_) => torn = true,
            }
        }
        if torn {
            opened.write_all(b"\n").with_context(cannot)?;
        }
        Ok((Self(opened), then, judged))
    }

    /// Keeps what was judged.
    pub(super) fn keep(&mut self, judged: &[Judged]) -> anyhow::Result<()> {
        let mut text = String::new();
        for one in judged {
            text += &serde_json::to_string(one)?;
            text.push('\n');
        }
        self.0.write_all(text.as_bytes()).context("cannot keep what was judged")
    }
}
