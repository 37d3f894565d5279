//! Heaps that were written to mislead: whatever stands in memory, reading ends, in bounded time, without a panic.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers fail as the test does"
)]

use std::collections::BTreeSet;
use std::io::{Read as _, Seek as _};

use observer_heap::{Growth, Image, Metadata, Reader, Reading, Refusal, Region, Sitting, SnapshotError, Spools};
use proptest::prelude::*;

const PAGE: u64 = 1 << 18;
const BASE: u64 = 0x1000_0000;

/// What V8 11 (Node 20) publishes, as far as the reader needs it.
fn metadata() -> Metadata {
    let values = [
        ("TaggedSize", 8),
        ("FirstNonstringType", 128),
        ("StringRepresentationMask", 7),
        ("OneByteStringTag", 8),
        ("ConsStringTag", 1),
        ("SlicedStringTag", 3),
        ("ThinStringTag", 5),
        ("FirstContextType", 205),
        ("LastContextType", 214),
        ("bit_field3_number_of_own_descriptors_mask", 1_047_552),
        ("bit_field3_number_of_own_descriptors_shift", 10),
        ("bit_field3_is_dictionary_map_shift", 21),
        ("namedictionaryshape_prefix_size", 3),
        ("scopeinfo_idx_first_vars", 3),
        ("scopeinfo_idx_ncontextlocals", 2),
        ("context_min_slots", 2),
        ("prop_location_mask", 32),
        ("prop_location_Field", 0),
        ("prop_location_shift", 5),
        ("prop_index_mask", 536_346_624),
        ("prop_index_shift", 19),
        ("class_Map__instance_size_in_words__char", 8),
        (
            "class_Map__inobject_properties_start_or_constructor_function_index__char",
            9,
        ),
        ("class_Map__instance_type__uint16_t", 12),
        ("class_Map__bit_field3__int", 16),
        ("class_Map__prototype__Object", 24),
        ("class_Map__constructor_or_back_pointer__Object", 32),
        ("class_Map__instance_descriptors__DescriptorArray", 40),
        ("class_String__length__int32_t", 12),
        ("class_SeqOneByteString__chars__char", 16),
        ("class_ConsString__first__String", 16),
        ("class_ConsString__second__String", 24),
        ("class_SlicedString__parent__String", 16),
        ("class_SlicedString__offset__SMI", 24),
        ("class_ThinString__actual__String", 16),
        ("class_JSFunction__shared__SharedFunctionInfo", 24),
        ("class_JSFunction__context__Context", 32),
        ("class_SharedFunctionInfo__name_or_scope_info__Object", 16),
        ("class_SharedFunctionInfo__script_or_debug_info__HeapObject", 32),
        ("class_Script__name__Object", 16),
        ("class_Script__source__Object", 8),
        ("class_JSArrayBuffer__byte_length__size_t", 32),
        ("class_JSArrayBuffer__backing_store__uintptr_t", 48),
        ("class_FixedArray__data__uintptr_t", 16),
        ("class_JSReceiver__raw_properties_or_hash__Object", 8),
        ("class_JSObject__internal_fields__uintptr_t", 24),
        ("class_DescriptorArray__header_size__uintptr_t", 24),
        ("type_Map__MAP_TYPE", 255),
        ("type_FixedArray__FIXED_ARRAY_TYPE", 175),
        ("type_SharedFunctionInfo__SHARED_FUNCTION_INFO_TYPE", 262),
        ("type_Script__SCRIPT_TYPE", 167),
        ("type_ScopeInfo__SCOPE_INFO_TYPE", 261),
        ("type_JSObject__JS_OBJECT_TYPE", 1057),
        ("type_JSFunction__JS_FUNCTION_TYPE", 2066),
        ("type_JSArray__JS_ARRAY_TYPE", 2113),
        ("type_JSMap__JS_MAP_TYPE", 2108),
        ("type_JSSet__JS_SET_TYPE", 2109),
        ("type_JSPromise__JS_PROMISE_TYPE", 2063),
        ("type_JSArrayBuffer__JS_ARRAY_BUFFER_TYPE", 2062),
    ];
    Metadata::from_values(values.map(|(name, value)| (name.to_owned(), value)))
}

/// Pages with believable headers (four old ones, one young), filled with these words, in turn; the first page begins
/// with a map of maps.
fn image(words: &[u64]) -> Image {
    let mut image = Image::default();
    for page in 0..5 {
        let base = BASE + page * PAGE;
        let flags = if page == 4 { 0x0a } else { 0x04 };
        let mut content = vec![0_u64; (PAGE / 8) as usize];
        content[..9].copy_from_slice(&[PAGE, flags, 0x5000, base + 0x1000, base + PAGE, 0x100, 0, 0, 0x6000]);
        let filled = content.iter_mut().skip(0x200);
        if !words.is_empty() {
            filled.zip(words.iter().cycle()).for_each(|(slot, word)| *slot = *word);
        }
        if page == 0 {
            // Map of maps: its own map, ten words large, of the type of maps.
            content[0x200] = base + 0x1001;
            content[0x201] = 10 | 0xff << 32;
        }
        let bytes = content.iter().flat_map(|word| word.to_le_bytes()).collect();
        image.insert(
            Region {
                start: base,
                end: base + PAGE,
                executable: false,
            },
            bytes,
        );
    }
    image
}

/// Words that a hostile program would choose: pointers into its own pages, lengths, tags.
fn word() -> impl Strategy<Value = u64> {
    prop_oneof![
        (0..5 * PAGE / 8).prop_map(|at| BASE + at * 8 + 1),
        (0..64_u64).prop_map(|at| BASE + 0x1001 + at * 8),
        Just(BASE + 0x1001),
        any::<u32>().prop_map(|smi| u64::from(smi) << 32),
        Just(0x7fff_ffff_0000_0000),
        Just(0x8000_0000_0000_0000),
        prop::sample::select(vec![255_u64, 175, 262, 261, 1057, 2066, 2108, 40, 41, 43, 45])
            .prop_flat_map(|instance_type| (0..32_u64).prop_map(move |size| size | instance_type << 32)),
        any::<u64>(),
    ]
}

/// Reads everything there is to read.
fn exhaust(image: &Image, metadata: &Metadata) -> Result<(), Refusal> {
    let mut reader = Reader::open(image, metadata)?;
    let mut reading = reader.read(&mut |_, _| {})?;
    reader.lines(&mut reading.rows)?;
    let rows: Vec<_> = reading.rows.iter().take(20).collect();
    reader.holders(&rows, 16, &mut |_| {})?;
    drop(rows);
    let nothing = Reading::default();
    let growth = Growth::over(&[&nothing, &reading]);
    reader.suspects(&growth, (&nothing, &reading), &mut |_| {})?;
    reading.collections.truncate(3);
    reader.collection_holders(&reading.collections, &mut |_| {})?;
    snapshots(&mut reader)
}

/// What is written loads: it is JSON, its counts are exact, and all that it refers to is there.
fn snapshots(reader: &mut Reader<'_>) -> Result<(), Refusal> {
    let mut sitting = Sitting::new(true, true);
    for _ in 0..2 {
        let file = || tempfile::tempfile().unwrap();
        let spools = Spools {
            edges: file(),
            strings: file(),
            locations: file(),
        };
        let mut written = file();
        match sitting.write(reader, &mut written, spools) {
            Ok(_) => {}
            Err(SnapshotError::Refused(refusal)) => return Err(refusal),
            Err(error) => panic!("{error}"),
        }
        written.rewind().unwrap();
        let mut text = Vec::new();
        written.read_to_end(&mut text).unwrap();
        loads(&serde_json::from_slice(&text).unwrap());
    }
    Ok(())
}

fn loads(snapshot: &serde_json::Value) {
    let numbers = |name: &str| -> Vec<u32> { serde_json::from_value(snapshot[name].clone()).unwrap() };
    let (nodes, edges, locations) = (numbers("nodes"), numbers("edges"), numbers("locations"));
    let strings = snapshot["strings"].as_array().unwrap().len() as u32;
    let head = &snapshot["snapshot"];
    assert_eq!(head["node_count"], nodes.len() / 7);
    assert_eq!(head["edge_count"], edges.len() / 3);
    let mut ids = BTreeSet::new();
    let mut count = 0;
    for node in nodes.chunks_exact(7) {
        assert!(node[0] < 15 && node[1] < strings && ids.insert(node[2]), "{node:?}");
        count += node[4] as usize;
    }
    assert_eq!(count, edges.len() / 3);
    for edge in edges.chunks_exact(3) {
        let named = edge[0] != 1 && edge[0] != 4;
        assert!(edge[0] < 7 && (!named || edge[1] < strings), "{edge:?}");
        assert!(
            edge[2].is_multiple_of(7) && (edge[2] as usize) < nodes.len(),
            "{edge:?}"
        );
    }
    for location in locations.chunks_exact(4) {
        assert!((location[0] as usize) < nodes.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_stands_in_memory_reading_ends(words in prop::collection::vec(word(), 1..400)) {
        // Read or refused: both are answers.
        let _ = exhaust(&image(&words), &metadata());
    }

    #[test]
    fn whatever_is_published_reading_ends(name in 0..metadata().len(), value in any::<i32>(), words in prop::collection::vec(word(), 1..100)) {
        let values = metadata().values().enumerate().map(|(at, (n, v))| (n.to_owned(), if at == name { value } else { v })).collect::<Vec<_>>();
        let _ = exhaust(&image(&words), &Metadata::from_values(values));
    }
}

#[test]
fn an_empty_heap_is_explained() {
    assert!(exhaust(&image(&[]), &metadata()).is_ok());
}

#[test]
fn pages_full_of_maps_of_maps_are_bounded() {
    // Every second word says "I am a map": tables must not grow with them.
    let words = [BASE + 0x1001, 10 | 0xff << 32];
    let _ = exhaust(&image(&words), &metadata());
}

#[test]
fn noise_is_refused() {
    let words: Vec<u64> = (1..4000_u64)
        .map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
        .collect();
    assert!(matches!(
        exhaust(&image(&words), &metadata()),
        Err(Refusal::Unexplained { .. })
    ));
}
