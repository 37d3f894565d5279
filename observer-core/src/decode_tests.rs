//! Records built field by field, hostile ones, and arbitrary bytes.

use proptest::prelude::*;

use super::*;

fn header(kind: Kind, at_ns: u64) -> Vec<u8> {
    let mut bytes = vec![0; length(kind)];
    put(&mut bytes, offset_of!(Header, kind), &(kind as u32).to_ne_bytes());
    let len = bytes.len() as u32;
    put(&mut bytes, offset_of!(Header, len), &len.to_ne_bytes());
    put(&mut bytes, offset_of!(Header, at_ns), &at_ns.to_ne_bytes());
    bytes
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn exit_record(status: u32, known: u32, comm: &[u8]) -> Vec<u8> {
    let mut bytes = header(Kind::Exit, 77);
    put(&mut bytes, offset_of!(Exit, start_ns), &1_230_000_000_u64.to_ne_bytes());
    put(
        &mut bytes,
        offset_of!(Exit, peak_rss),
        &(u64::from(known) << 20).to_ne_bytes(),
    );
    put(&mut bytes, offset_of!(Exit, max_rss), &(2_u64 << 20).to_ne_bytes());
    put(&mut bytes, offset_of!(Exit, pid), &42_u32.to_ne_bytes());
    put(&mut bytes, offset_of!(Exit, status), &status.to_ne_bytes());
    put(&mut bytes, offset_of!(Exit, status_known), &known.to_ne_bytes());
    put(&mut bytes, offset_of!(Exit, comm), comm);
    bytes
}

#[test]
fn an_exit_carries_its_time_its_process_and_its_status() {
    let process = ProcessKey { pid: 42, start: 123 };
    for (status, known, expected) in [
        (0, 1, Some(ExitStatus::Code(0))),
        (7 << 8, 1, Some(ExitStatus::Code(7))),
        (9, 1, Some(ExitStatus::Signal(9))),
        (0x8b, 1, Some(ExitStatus::Signal(11))),
        (9, 0, None),
    ] {
        let decoded = decode(&exit_record(status, known, b"node\0garbage"));
        let event = KernelEvent::Exit {
            process,
            status: expected,
            comm: "node".into(),
            peak_rss: (known == 1).then_some(1 << 20),
            max_rss: Some(2 << 20),
        };
        assert_eq!(decoded, Ok((BootTime(77), event)));
    }
}

#[test]
fn a_hostile_name_is_replaced_and_an_unterminated_one_ends_with_its_field() {
    let Ok((_, KernelEvent::Exit { comm, .. })) = decode(&exit_record(0, 1, b"\xff\xfeno\x1b[2Jde\0")) else {
        panic!("not decoded");
    };
    assert_eq!(comm, "\u{fffd}\u{fffd}no\u{1b}[2Jde");
    let Ok((_, KernelEvent::Exit { comm, .. })) = decode(&exit_record(0, 1, &[b'x'; COMM_LEN])) else {
        panic!("not decoded");
    };
    assert_eq!(comm, "x".repeat(COMM_LEN));
}

#[test]
fn what_a_kernel_does_not_tell_is_none() {
    let mut bytes = header(Kind::OomVictim, 1);
    put(&mut bytes, offset_of!(OomVictim, pid), &9_u32.to_ne_bytes());
    put(&mut bytes, offset_of!(OomVictim, tid), &10_u32.to_ne_bytes());
    put(&mut bytes, offset_of!(OomVictim, anon_rss), &4096_u64.to_ne_bytes());
    for unknown in [offset_of!(OomVictim, file_rss), offset_of!(OomVictim, pgtables)] {
        put(&mut bytes, unknown, &u64::MAX.to_ne_bytes());
    }
    put(
        &mut bytes,
        offset_of!(OomVictim, oom_score_adj),
        &i32::MIN.to_ne_bytes(),
    );
    let Ok((_, KernelEvent::OomVictim(victim))) = decode(&bytes) else {
        panic!("not decoded");
    };
    assert_eq!((victim.process.pid, victim.tid), (9, 10));
    assert_eq!(
        (victim.anon, victim.file, victim.shmem, victim.pgtables),
        (Some(4096), None, Some(0), None)
    );
    assert_eq!(victim.oom_score_adj, None);
}

#[test]
fn an_ignored_signal_was_not_delivered() {
    let mut bytes = header(Kind::Signal, 1);
    put(&mut bytes, offset_of!(Signal, signal), &6_u32.to_ne_bytes());
    put(&mut bytes, offset_of!(Signal, code), &(-6_i32).to_ne_bytes());
    put(&mut bytes, offset_of!(Signal, result), &1_i32.to_ne_bytes());
    put(&mut bytes, offset_of!(Signal, sender_comm), b"node");
    let Ok((_, KernelEvent::Signal(signal))) = decode(&bytes) else {
        panic!("not decoded");
    };
    assert_eq!((signal.signal, signal.code, signal.delivered), (6, -6, false));
    put(&mut bytes, offset_of!(Signal, signal), &256_u32.to_ne_bytes());
    assert_eq!(decode(&bytes), Err(DecodeError::Signal(256)));
}

#[test]
fn a_cut_path_is_refused() {
    let mut bytes = header(Kind::CgroupMkdir, 1);
    put(&mut bytes, offset_of!(Cgroup, id), &77_u64.to_ne_bytes());
    put(&mut bytes, offset_of!(Cgroup, root), &5_u32.to_ne_bytes());
    put(&mut bytes, offset_of!(Cgroup, path), b"/docker/1234");
    put(&mut bytes, offset_of!(Cgroup, path_len), &7_u32.to_ne_bytes());
    let event = KernelEvent::CgroupMkdir {
        root: 5,
        id: 77,
        path: "/docker".into(),
    };
    assert_eq!(
        decode(&bytes),
        Ok((BootTime(1), event)),
        "bytes after the path are not part of it"
    );
    for length in [CGROUP_PATH_LEN as u32 - 1, CGROUP_PATH_LEN as u32, u32::MAX] {
        put(&mut bytes, offset_of!(Cgroup, path_len), &length.to_ne_bytes());
        assert_eq!(decode(&bytes), Err(DecodeError::PathCut));
    }
}

#[test]
fn lengths_must_agree() {
    for kind in Kind::ALL {
        let bytes = header(kind, 0);
        decode(&bytes).unwrap();
        let found = bytes.len() - 1;
        let expected = bytes.len();
        assert_eq!(
            decode(&bytes[..found]),
            Err(DecodeError::Length { kind, expected, found })
        );
        let longer = [bytes.as_slice(), &[0; 8]].concat();
        assert_eq!(
            decode(&longer),
            Err(DecodeError::Length {
                kind,
                expected,
                found: longer.len()
            })
        );
        let mut lying = bytes.clone();
        put(&mut lying, offset_of!(Header, len), &8_u32.to_ne_bytes());
        assert_eq!(
            decode(&lying),
            Err(DecodeError::Length {
                kind,
                expected,
                found: 8
            })
        );
    }
    assert_eq!(decode(&[]), Err(DecodeError::NoHeader { len: 0 }));
    let mut unknown = header(Kind::Fork, 0);
    put(&mut unknown, 0, &8_u32.to_ne_bytes());
    assert_eq!(decode(&unknown), Err(DecodeError::UnknownKind(8)));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..700)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn arbitrary_bodies_of_a_known_kind_never_panic(which in 0..Kind::ALL.len(), body in proptest::collection::vec(any::<u8>(), 700)) {
        let mut bytes = header(Kind::ALL[which], 5);
        let start = size_of::<Header>();
        let end = bytes.len();
        bytes[start..].copy_from_slice(&body[start..end]);
        match decode(&bytes) {
            Ok((at, _)) => prop_assert_eq!(at, BootTime(5)),
            Err(error) => prop_assert!(matches!(error, DecodeError::PathCut | DecodeError::Signal(_)), "{}", error),
        }
    }
}
