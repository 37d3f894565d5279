//! Reads the Resource that an application's SDK publishes in the memory of its process (OpenTelemetry's process context,
//! OTEP 4719), produces its attributes.
//!
//! The publisher is the observed application, so every byte is hostile until it is checked: sizes, counts, lengths and
//! characters are bounded, only pages that are present are read (nobody can make the reader wait for one), and what does
//! not hold together is none.

use std::collections::BTreeMap;

use observer_heap::{Memory, MemoryError};
use opentelemetry_proto::tonic::{
    common::v1::{KeyValue, any_value::Value},
    resource::v1::Resource,
};
use prost::Message;

/// What a published mapping is called in `/proc/PID/maps`.
const NAMES: [&str; 3] = ["/memfd:OTEL_CTX", "[anon_shmem:OTEL_CTX]", "[anon:OTEL_CTX]"];
const SIGNATURE: &[u8; 8] = b"OTEL_CTX";
/// The published format; 1 was for development.
const VERSION: u32 = 2;
/// Bytes of the header: signature, version, size of the payload, time of publication, address of the payload.
const HEADER: usize = 32;
/// Most bytes of a payload. A Resource is some hundred.
const MOST_BYTES: u32 = 64 << 10;
/// Most attributes, most bytes of a name and of a value.
const MOST_ATTRIBUTES: usize = 64;
const LONGEST_NAME: usize = 255;
const LONGEST_VALUE: usize = 1024;
/// Most mappings of that name looked at, and readings of one that changes meanwhile.
const MOST_MAPPINGS: usize = 4;
const ATTEMPTS: usize = 3;
/// Attributes that describe the publisher's process and host as it sees them from inside its container, or its SDK: command
/// lines among them. They are never taken, so they are not kept either.
const LEFT_OUT: [&str; 4] = ["process.", "host.", "os.", "telemetry."];

/// The attributes of the published Resource; `None` where none is published, or none that holds together.
pub(crate) fn read(maps: &[u8], memory: &impl Memory) -> Option<BTreeMap<String, String>> {
    let mappings = std::str::from_utf8(maps).ok()?.lines().filter_map(published);
    mappings
        .take(MOST_MAPPINGS)
        .find_map(|start| (0..ATTEMPTS).find_map(|_| attempt(start, memory).ok().flatten()))
}

/// Where a mapping starts, if it is one that publishes a context.
fn published(line: &str) -> Option<u64> {
    let name = line.splitn(6, ' ').nth(5)?.trim_start();
    NAMES
        .iter()
        .any(|published| name.starts_with(published))
        .then_some(())?;
    u64::from_str_radix(line.split('-').next()?, 16).ok()
}

/// One reading: header, payload, header again.
fn attempt(start: u64, memory: &impl Memory) -> Result<Option<BTreeMap<String, String>>, MemoryError> {
    let before = header(start, memory)?;
    let Some((size, address)) = before.as_ref().and_then(parse) else {
        return Ok(None);
    };
    let mut payload = vec![0; size as usize];
    if memory.read(address, &mut payload)? != payload.len() || header(start, memory)? != before {
        return Ok(None);
    }
    Ok(decode(&payload))
}

fn header(start: u64, memory: &impl Memory) -> Result<Option<[u8; HEADER]>, MemoryError> {
    let mut header = [0; HEADER];
    Ok((memory.read(start, &mut header)? == HEADER).then_some(header))
}

/// Size and address of the payload.
fn parse(header: &[u8; HEADER]) -> Option<(u32, u64)> {
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let long = |at: usize| u64::from(number(at)) | u64::from(number(at + 4)) << 32;
    let (version, size, published_at, payload) = (number(8), number(12), long(16), long(24));
    // While it is being changed the time of publication is 0.
    let valid = header.starts_with(SIGNATURE) && version == VERSION && published_at != 0;
    (valid && size > 0 && size <= MOST_BYTES && payload.checked_add(u64::from(size)).is_some())
        .then_some((size, payload))
}

/// The development form of the payload: the Resource within a message of its own.
#[derive(Clone, PartialEq, Message)]
struct ProcessContext {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
}

fn decode(payload: &[u8]) -> Option<BTreeMap<String, String>> {
    let plain = Resource::decode(payload)
        .ok()
        .map(|resource| attributes(resource.attributes));
    let plain = plain.filter(|attributes| !attributes.is_empty());
    plain.or_else(|| {
        let context = ProcessContext::decode(payload).ok()?;
        Some(attributes(context.resource?.attributes)).filter(|attributes| !attributes.is_empty())
    })
}

/// Those that can be taken: a name of printable ASCII, one plain value.
fn attributes(list: Vec<KeyValue>) -> BTreeMap<String, String> {
    let usable = |pair: KeyValue| {
        let name = pair.key;
        let printable = name.len() <= LONGEST_NAME && !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
        let left_out = LEFT_OUT.iter().any(|prefix| name.starts_with(prefix));
        let value = match pair.value?.value? {
            Value::StringValue(text) => text,
            Value::BoolValue(yes) => yes.to_string(),
            Value::IntValue(number) => number.to_string(),
            Value::DoubleValue(number) => number.to_string(),
            _ => return None,
        };
        (printable && !left_out && !value.is_empty() && value.len() <= LONGEST_VALUE).then_some((name, value))
    };
    list.into_iter().filter_map(usable).take(MOST_ATTRIBUTES).collect()
}

#[cfg(test)]
mod tests {
    use observer_heap::Region;
    use opentelemetry_proto::tonic::common::v1::AnyValue;
    use proptest::prelude::*;

    use super::*;

    const AT: u64 = 0x7f00_0000_0000;
    const MAPS: &[u8] = b"55d0c0000000-55d0c0001000 r--p 00000000 08:01 42                         /usr/bin/node
7f0000000000-7f0000001000 rw-s 00000000 00:01 2049                       /memfd:OTEL_CTX (deleted)
7fff00000000-7fff00001000 rw-p 00000000 00:00 0                          [stack]
";

    /// One mapping; what lies outside reads as absent.
    struct Mapping(Vec<u8>);

    impl Memory for Mapping {
        fn regions(&self) -> Result<Vec<Region>, MemoryError> {
            Ok(Vec::new())
        }

        fn read(&self, address: u64, buffer: &mut [u8]) -> Result<usize, MemoryError> {
            let from = address.checked_sub(AT).map_or(usize::MAX, |offset| offset as usize);
            let there = self.0.get(from..).unwrap_or_default();
            let length = there.len().min(buffer.len());
            buffer[..length].copy_from_slice(&there[..length]);
            Ok(length)
        }
    }

    fn pair(name: &str, value: Value) -> KeyValue {
        KeyValue {
            key: name.into(),
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        }
    }

    fn text(name: &str, value: &str) -> KeyValue {
        pair(name, Value::StringValue(value.into()))
    }

    fn resource(attributes: Vec<KeyValue>) -> Resource {
        Resource {
            attributes,
            ..Resource::default()
        }
    }

    /// A published mapping with its payload behind the header.
    fn mapping(payload: &[u8]) -> Mapping {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((payload.len() as u32).to_le_bytes());
        bytes.extend(1_700_000_000_000_000_000_u64.to_le_bytes());
        bytes.extend((AT + HEADER as u64).to_le_bytes());
        bytes.extend(payload);
        Mapping(bytes)
    }

    fn read_back(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
        read(MAPS, &mapping(&resource(attributes).encode_to_vec())).unwrap_or_default()
    }

    #[test]
    fn the_published_attributes_are_read() {
        let found = read_back(vec![
            text("service.instance.id", "627cc493-f310-47de-96bd-71410b7dec09"),
            pair("shop.shard", Value::IntValue(7)),
            pair("shop.canary", Value::BoolValue(true)),
        ]);
        assert_eq!(found["service.instance.id"], "627cc493-f310-47de-96bd-71410b7dec09");
        assert_eq!(
            (found["shop.shard"].as_str(), found["shop.canary"].as_str()),
            ("7", "true")
        );
    }

    #[test]
    fn both_forms_of_the_payload_are_understood() {
        let context = ProcessContext {
            resource: Some(resource(vec![text("service.name", "shop")])),
        };
        let found = read(MAPS, &mapping(&context.encode_to_vec())).unwrap();
        assert_eq!(found, [("service.name".to_owned(), "shop".to_owned())].into());
    }

    #[test]
    fn what_is_too_long_or_no_name_is_left_out_and_command_lines_are_not_kept() {
        let found = read_back(vec![
            text("process.command_args", "--token=secret"),
            text("host.name", "inside"),
            text("telemetry.sdk.name", "opentelemetry"),
            text("a\x1b[31mred", "x"),
            text("", "x"),
            text(&"n".repeat(LONGEST_NAME + 1), "x"),
            text("long", &"v".repeat(LONGEST_VALUE + 1)),
            KeyValue::default(),
            text("service.name", "shop"),
        ]);
        assert_eq!(found, [("service.name".to_owned(), "shop".to_owned())].into());
        let many = (0..1_000).map(|n| text(&format!("key{n}"), "v")).collect();
        assert_eq!(read_back(many).len(), MOST_ATTRIBUTES);
    }

    #[test]
    fn a_mapping_that_is_being_changed_foreign_or_torn_is_none() {
        let good = mapping(&resource(vec![text("service.name", "shop")]).encode_to_vec());
        assert!(read(MAPS, &good).is_some());
        for (at, bytes) in [
            (0, b"OTEL_CTY".to_vec()),
            (8, 1_u32.to_le_bytes().to_vec()),
            (12, u32::MAX.to_le_bytes().to_vec()),
            (12, 0_u32.to_le_bytes().to_vec()),
            (12, (MOST_BYTES + 1).to_le_bytes().to_vec()),
            (16, 0_u64.to_le_bytes().to_vec()),
            (24, u64::MAX.to_le_bytes().to_vec()),
            (24, 0_u64.to_le_bytes().to_vec()),
        ] {
            let mut bad = good.0.clone();
            bad[at..at + bytes.len()].copy_from_slice(&bytes);
            assert_eq!(read(MAPS, &Mapping(bad)), None, "at {at}");
        }
        assert_eq!(read(b"7f0000000000-7f0000001000 rw-p 0 00:00 0 [heap]", &good), None);
        assert_eq!(read(b"\xff", &good), None);
        assert_eq!(read(MAPS, &Mapping(good.0[..HEADER - 1].to_vec())), None);
    }

    proptest! {
        #[test]
        fn whatever_is_published_is_bounded(payload: Vec<u8>, maps: Vec<u8>) {
            let _ = read(&maps, &mapping(&payload));
            let found = read(MAPS, &mapping(&payload)).unwrap_or_default();
            prop_assert!(found.len() <= MOST_ATTRIBUTES);
            prop_assert!(found.iter().all(|(name, value)| name.len() <= LONGEST_NAME && value.len() <= LONGEST_VALUE));
        }
    }
}
