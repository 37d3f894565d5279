//! Opens the heaps of a process: layout from metadata, pages from headers, sizes from calibration. Everything that can
//! be checked is checked here; what comes out can be walked.

use crate::layout::maps::{Maps, pages};
use crate::layout::metadata::Metadata;
use crate::layout::offsets::Layout;
use crate::layout::refusal::Refusal;
use crate::layout::sizes::Sizes;
use crate::layout::tables::Tables;
use crate::memory::pages::{Page, Space};
use crate::memory::peek::Peek;
use crate::memory::source::Memory;
use crate::names::scopes::Scopes;
use crate::walk::calibrate::{Learned, calibrate};
use crate::walk::old::Old;
use crate::walk::walker::{Coverage, Visit, Walker};
use crate::walk::young::Young;

/// The heaps of one process, ready to be walked.
pub(crate) struct Heap<'m> {
    pub(crate) maps: Maps<'m>,
    pub(crate) sizes: Sizes,
    pub(crate) tables: Tables,
    pub(crate) scopes: Scopes,
}

/// In which order old pages are walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// By address.
    Ascending,
    /// The other way round.
    Descending,
}

/// What a walk through one isolate saw besides objects.
pub(crate) struct Walked {
    pub(crate) coverage: Coverage,
    /// Bytes of young pages.
    pub(crate) young_pages: u64,
    pub(crate) torn: u64,
    /// Of these, young objects that had moved by the time they were to be visited.
    pub(crate) young_torn: u64,
    /// A minor collection moved young objects between their visit and the end: some may have been met twice.
    pub(crate) moved: bool,
}

impl<'m> Heap<'m> {
    /// Finds and checks; refuses what it cannot prove. What is `known` of the process is not learned anew.
    pub(crate) fn open(memory: &'m dyn Memory, metadata: &Metadata, known: Option<&Learned>) -> Result<Self, Refusal> {
        let layout = Layout::published(metadata)?;
        let peek = Peek::new(memory);
        let pages = pages(&peek)?;
        let sizes = Sizes::new(&layout);
        let maps = Maps::find(peek, layout, pages)?;
        let Learned { sizes, tables } = calibrate(&maps, sizes, known)?;
        Ok(Self {
            maps,
            sizes,
            tables,
            scopes: Scopes::default(),
        })
    }

    /// Pages of one isolate that are walked whole.
    pub(crate) fn old_pages(&self, isolate: u64) -> impl Iterator<Item = &Page> {
        self.maps
            .pages
            .pages
            .iter()
            .filter(move |page| page.heap == isolate && page.space == Space::Old)
    }

    /// Visits every object of an isolate, dead ones too: old ones first, then the young ones they reach. `step` is told
    /// the bytes of each old page.
    pub(crate) fn walk(
        &self,
        isolate: u64,
        order: Order,
        visit: &mut impl Visit,
        step: &mut dyn FnMut(u64),
    ) -> Result<Walked, Refusal> {
        let mut young = Young::new(self.maps.pages.pages.iter().filter(|page| page.heap == isolate));
        let mut walker = Walker::new(&self.maps, &self.sizes);
        let mut pages: Vec<&Page> = self.old_pages(isolate).collect();
        if order == Order::Descending {
            pages.reverse();
        }
        for page in pages {
            if !visit.reads(page) {
                step(page.area());
                continue;
            }
            if young.is_empty() {
                walker.page(page, visit)?;
            } else {
                walker.page(
                    page,
                    &mut Old {
                        young: &mut young,
                        visit,
                    },
                )?;
            }
            step(page.area());
        }
        visit.young_begins();
        young.visit(&self.maps, &self.sizes, visit)?;
        Ok(Walked {
            coverage: walker.coverage,
            young_pages: young.bytes(),
            torn: young.torn,
            young_torn: young.torn,
            moved: false,
        })
    }
}
