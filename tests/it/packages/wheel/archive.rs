//! The archive: members side by side, two headers that agree, nothing hidden, nothing huge.

use pymd::packages::wheel::{WheelError, WheelLimits, WheelRules};

use super::super::wheel_builder::{End, End64, Header, Member, Zip, crc32, deflate, extra};
use super::{NAME, demo, refused, refused_with, rules, taken, unpack_with};

const INIT: &str = "demo/__init__.py";

fn limited(change: impl FnOnce(&mut WheelLimits)) -> WheelRules {
    let mut rules = rules();
    change(&mut rules.limits);
    rules
}

/// The wheel with a change to its `demo/__init__.py`.
fn with_init(change: impl FnOnce(&mut Member)) -> Vec<u8> {
    demo().zip().with(|zip| change(zip.member(INIT))).build()
}

#[track_caller]
fn assert_unsound(bytes: &[u8], part: &str) {
    match refused(bytes) {
        WheelError::Archive { reason } => assert!(reason.contains(part), "{reason}"),
        other => panic!("{other}"),
    }
}

#[track_caller]
fn assert_mismatch(bytes: &[u8], expected: &str) {
    match refused(bytes) {
        WheelError::Mismatch { member, field } => assert_eq!((member.as_str(), field), (INIT, expected)),
        other => panic!("{other}"),
    }
}

#[test]
fn stored_and_deflated_members_are_unpacked() {
    let text = "x = 1\n".repeat(100_000);
    for wheel in [demo().file("demo/big.py", &text), demo().file("demo/big.py", &text).deflated()] {
        assert_eq!(taken(&wheel.build()).read("demo/big.py"), text);
    }
}

#[test]
fn an_archive_too_large_for_memory_is_unpacked_from_its_file() {
    let content: Vec<u8> = (0..33 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let unpacked = taken(&demo().file("demo/data.bin", &content).build());
    let file = unpacked.wheel.files.iter().find(|file| file.path == "demo/data.bin").unwrap();
    assert_eq!(file.size, 33 << 20);
    assert_eq!(std::fs::read(unpacked.dir.path().join("files/demo/data.bin")).unwrap(), content);
}

#[test]
fn data_descriptors_of_all_four_shapes_are_understood() {
    for (signature, wide) in [(true, false), (false, false), (true, true), (false, true)] {
        let zip = demo().deflated().zip().with(|zip| zip.member(INIT).described(signature, wide));
        assert_eq!(taken(&zip.build()).read(INIT), "version = '1.0'\n");
    }
}

#[test]
fn a_data_descriptor_that_says_something_else_is_refused() {
    for at in [4, 8, 12] {
        let bytes = with_init(|member| {
            member.described(true, false);
            member.behind[at] ^= 1;
        });
        assert_unsound(&bytes, "something lies behind `demo/__init__.py`");
    }
    assert_unsound(&with_init(|member| member.both(|header| header.flags |= 8)), "something lies behind");
}

#[test]
fn sixty_four_bit_values_are_understood_where_they_are_needed() {
    let zip = demo().zip().with(|zip| {
        let member = zip.member(INIT);
        let size = u64::from(member.central.size).to_le_bytes();
        for header in [&mut member.local, &mut member.central] {
            (header.size, header.compressed_size) = (u32::MAX, u32::MAX);
            header.extra = extra(1, &[size, size].concat());
        }
        zip.end64 = Some(|_| {});
    });
    assert_eq!(taken(&zip.build()).read(INIT), "version = '1.0'\n");
}

#[test]
fn sixty_four_bit_values_that_lie_are_refused() {
    let size = 16_u64.to_le_bytes();
    let other = 17_u64.to_le_bytes();
    // Not needed, missing, twice, cut short.
    assert_unsound(&with_init(|m| m.central.extra = extra(1, &size)), "does not need");
    assert_unsound(&with_init(|m| m.central.size = u32::MAX), "cut short");
    assert_unsound(&with_init(|m| m.local.extra = extra(1, &[size, size].concat()).repeat(2)), "two sets");
    assert_unsound(&with_init(|m| m.local.extra = extra(1, &size)), "cut short");
    assert_unsound(&with_init(|m| m.local.extra = vec![1, 0, 200, 0]), "cut short");
    // Another size than the 32-bit one beside it, or than the central directory.
    assert_mismatch(&with_init(|m| m.local.extra = extra(1, &[other, size].concat())), "size");
    let lie = with_init(|m| {
        (m.local.size, m.local.compressed_size) = (u32::MAX, u32::MAX);
        m.local.extra = extra(1, &[other, other].concat());
    });
    assert_mismatch(&lie, "size");
    let huge = with_init(|m| {
        (m.central.size, m.central.compressed_size) = (u32::MAX, u32::MAX);
        m.central.extra = extra(1, &[u64::MAX.to_le_bytes(), u64::MAX.to_le_bytes()].concat());
    });
    assert!(matches!(refused(&huge), WheelError::TooLarge { .. }));
}

#[test]
fn end_records_that_lie_are_refused() {
    let zip = || demo().zip();
    let ends: [fn(&mut End); 6] = [
        |end| end.0 += 1,
        |end| end.0 -= 1,
        |end| end.1 -= 1,
        |end| end.2 += 1,
        |end| *end = (0, 0, 0),
        |end| end.2 = u32::MAX,
    ];
    for end in ends {
        assert!(matches!(refused(&zip().with(|zip| zip.end = Some(end)).build()), WheelError::Archive { .. }));
    }
    let ends64: [fn(&mut End64); 4] =
        [|end| end.0 += 1, |end| end.1 = u64::MAX, |end| end.2 = u64::MAX, |end| *end = (u64::MAX, 0, 0)];
    for end64 in ends64 {
        let error = refused(&zip().with(|zip| zip.end64 = Some(end64)).build());
        assert!(matches!(error, WheelError::Archive { .. } | WheelError::TooLarge { .. }), "{error}");
    }
    let disagree = zip().with(|zip| {
        zip.end64 = Some(|_| {});
        zip.end = Some(|end| end.0 = 1);
    });
    assert_unsound(&disagree.build(), "two end records disagree");
}

#[test]
fn what_is_no_zip_archive_is_refused() {
    for bytes in [&b""[..], b"PK", b"<html>not found</html>", &[0; 100], &[0xff; 22]] {
        assert_unsound(bytes, "does not end with");
    }
    let whole = demo().build();
    for len in [whole.len() - 1, whole.len() / 2, 22, 30] {
        assert!(matches!(refused(&whole[..len]), WheelError::Archive { .. }), "cut at {len}");
    }
}

#[test]
fn an_empty_archive_is_no_wheel() {
    assert!(matches!(refused(&Zip::default().build()), WheelError::DistInfo { .. }));
}

#[test]
fn leading_trailing_and_hidden_data_are_refused() {
    let with = |change: fn(&mut Zip)| demo().zip().with(change).build();
    assert_unsound(&with(|zip| zip.before = b"#!/bin/sh\n".to_vec()), "before its first member");
    assert_unsound(&with(|zip| zip.after = b"x".to_vec()), "does not end with");
    assert_unsound(&with(|zip| zip.comment = b"a comment".to_vec()), "does not end with");
    assert_unsound(&with(|zip| zip.between = vec![0; 10]), "that is no member");
    assert_unsound(&with(|zip| zip.before_end = vec![0; 10]), "right before its end record");
    assert_unsound(&with_init(|member| member.behind = vec![0; 5]), "that is no member");
    // A second archive behind the first: some programs would read that one.
    let two = [demo().build(), demo().file("other.py", "").build()].concat();
    assert_unsound(&two, "right before its end record");
    // Offsets that do not count the bytes before are understood by some.
    let shifted = [b"MZ".to_vec(), demo().build()].concat();
    assert_unsound(&shifted, "right before its end record");
}

#[test]
fn overlapping_members_are_refused() {
    let zip = demo().file("demo/a.py", "aaaa").zip().with(|zip| {
        let (first, second) = (zip.members[0].central.clone(), &mut zip.members[1]);
        second.central = Header { name: second.central.name.clone(), ..first };
        second.offset = Some(|_| 0);
    });
    assert_unsound(&zip.build(), "overlaps");
    let zip = demo().zip().with(|zip| zip.members[0].offset = Some(|_| 1));
    assert_unsound(&zip.build(), "before its first member");
    let zip = demo().zip().with(|zip| zip.members[1].offset = Some(|_| u32::MAX - 1));
    assert!(matches!(refused(&zip.build()), WheelError::Archive { .. }));
}

#[test]
fn headers_that_disagree_are_refused() {
    assert_mismatch(&with_init(|m| m.local.name = b"demo/__main__.py".to_vec()), "name");
    assert_mismatch(&with_init(|m| m.local.method = 8), "compression method");
    assert_mismatch(&with_init(|m| m.local.crc32 ^= 1), "checksum");
    assert_mismatch(&with_init(|m| m.local.size += 1), "size");
    assert_mismatch(&with_init(|m| m.local.compressed_size += 1), "size");
    assert_mismatch(&with_init(|m| m.local.compressed_size = 0), "size");
    assert_mismatch(&with_init(|m| m.local.flags |= 1 << 11), "flags");
    assert_mismatch(&with_init(|m| m.local.flags |= 1), "flags");
}

#[test]
fn encryption_and_unknown_methods_are_refused() {
    for flag in [0, 6, 13] {
        let bytes = with_init(|m| m.both(|header| header.flags |= 1 << flag));
        assert!(matches!(refused(&bytes), WheelError::Encrypted { member } if member == INIT));
    }
    for method in [1, 6, 9, 12, 14, 93, 98, 99] {
        let bytes = with_init(|m| m.both(|header| header.method = method));
        assert!(matches!(refused(&bytes), WheelError::Method { method: found, .. } if found == method));
    }
}

#[test]
fn damaged_data_are_refused() {
    let bytes = with_init(|m| m.data[0] ^= 1);
    assert!(matches!(refused(&bytes), WheelError::Damaged { .. } | WheelError::Digest { .. }));
    let bytes = with_init(|m| m.both(|header| header.crc32 ^= 1));
    assert!(matches!(refused(&bytes), WheelError::Damaged { .. }));
    let zip = demo().deflated().zip().with(|zip| zip.member(INIT).data[0] ^= 0xff);
    assert!(matches!(refused(&zip.build()), WheelError::Damaged { .. }));
    assert_unsound(&with_init(|m| m.both(|header| header.size += 1)), "has two sizes");
}

#[test]
fn a_member_that_unpacks_to_another_size_than_it_says_is_refused() {
    for (says, is) in [(10_u32, 1_000_000_usize), (1_000_000, 10)] {
        let zip = demo().zip().with(|zip| {
            let member = zip.member(INIT);
            let content = vec![b'#'; is];
            member.data = deflate(&content);
            let compressed_size = member.data.len() as u32;
            member.both(|header| {
                header.method = 8;
                header.crc32 = crc32(&content);
                header.compressed_size = compressed_size;
                header.size = says;
            });
        });
        let error = refused(&zip.build());
        assert!(matches!(error, WheelError::Damaged { .. }), "{error}");
    }
}

#[test]
fn a_zip_bomb_is_refused_before_it_is_unpacked() {
    let bomb = demo().file("demo/zeros.bin", vec![0; 33 << 20]).deflated().build();
    assert!(bomb.len() < 100_000);
    match refused(&bomb) {
        WheelError::Bomb { archive_bytes, unpacked_bytes, limit_bytes } => {
            assert_eq!(archive_bytes, bomb.len() as u64);
            assert!(unpacked_bytes > 33 << 20);
            assert_eq!(limit_bytes, 16 << 20);
        }
        other => panic!("{other}"),
    }
    // A little of it is nobody's harm.
    taken(&demo().file("demo/zeros.bin", vec![0; 1 << 20]).deflated().build());
}

#[test]
fn every_limit_holds() {
    #[track_caller]
    fn too_large(bytes: &[u8], what: &str, change: impl FnOnce(&mut WheelLimits)) {
        match refused_with(bytes, NAME, limited(change)) {
            WheelError::TooLarge { what: found, .. } => assert_eq!(found, what),
            other => panic!("{other}"),
        }
    }
    let wheel = || demo().file("demo/a.py", vec![b'#'; 1_000]).build();
    too_large(&wheel(), "bytes", |limits| limits.archive_bytes = 1_000);
    too_large(&wheel(), "unpacked bytes", |limits| limits.unpacked_bytes = 1_100);
    too_large(&wheel(), "bytes in one file", |limits| limits.file_bytes = 999);
    too_large(&wheel(), "files", |limits| limits.files = 4);
    // A directory that only stands in paths is one on the disk, too.
    too_large(&wheel(), "files and directories", |limits| limits.files = 6);
    let deep = (0..40).fold(demo(), |wheel, n| wheel.file(&format!("demo/d{n}/a/b/c/f.py"), ""));
    too_large(&deep.build(), "files and directories", |limits| limits.files = 100);
    too_large(&wheel(), "bytes in a file of its .dist-info directory", |limits| limits.metadata_bytes = 20);
    let roots = demo().file("a.py", "").file("b.py", "").build();
    too_large(&roots, "names in the root of site-packages", |limits| limits.roots = 2);
    // Exactly as much as is allowed is taken.
    let exact = limited(|limits| (limits.files, limits.roots, limits.file_bytes) = (8, 3, 1_000));
    unpack_with(&roots, NAME, &exact).unwrap();
}

#[test]
fn the_order_of_members_does_not_matter() {
    let zip = demo().zip().with(|zip| zip.members.reverse());
    assert_eq!(taken(&zip.build()).read(INIT), "version = '1.0'\n");
}

#[test]
fn no_byte_of_a_wheel_can_be_changed_without_harm_or_notice() {
    let whole = demo().deflated().build();
    let expected = taken(&whole).wheel;
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        // Times, versions and attributes may differ; what is unpacked may not.
        if let Ok(unpacked) = unpack_with(&bytes, NAME, &rules()) {
            assert_eq!(unpacked.wheel, expected, "byte {at}");
        }
    }
}
