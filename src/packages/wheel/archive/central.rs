//! The end record and the central directory.

use super::super::error::{WheelError, shown};
use super::super::limits::WheelLimits;
use super::super::names;
use super::fields::{self, Fields};
use super::{Member, Source, unsound};

const END: u32 = 0x0605_4b50;
const END_BYTES: usize = 22;
const END64: u32 = 0x0606_4b50;
const END64_BYTES: usize = 56;
const LOCATOR: u32 = 0x0706_4b50;
const LOCATOR_BYTES: usize = 20;
const ENTRY: u32 = 0x0201_4b50;
/// No sound wheel has more: 100,000 members with 600 bytes for each.
const MAX_BYTES: u64 = 64 << 20;

/// Flags that change how a member is read.
pub(super) const DESCRIPTOR: u16 = 1 << 3;
pub(super) const UTF8: u16 = 1 << 11;
pub(super) const READING_FLAGS: u16 = ENCRYPTED | DESCRIPTOR | PATCHED | UTF8;
const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
const PATCHED: u16 = 1 << 5;

const FILE_TYPE: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
/// Set-user-id and set-group-id.
const AS_OTHERS: u32 = 0o6_000;

/// Where the central directory is.
struct Place {
    offset: u64,
    len: u64,
    entries: u64,
}

/// The members in the order of the central directory, and its offset.
pub(super) fn read(source: &Source, limits: &WheelLimits) -> Result<(Vec<Member>, u64), WheelError> {
    let place = locate(source)?;
    if place.entries > limits.files {
        return Err(WheelError::TooLarge { what: "files", limit: limits.files });
    }
    if place.len > MAX_BYTES {
        return Err(unsound(format!("its central directory has {} bytes", place.len)));
    }
    let len = usize::try_from(place.len).unwrap_or(usize::MAX);
    let bytes = source.read(place.offset, len)?;
    let mut fields = Fields(&bytes);
    // The count is a claim: what is really there decides.
    let mut members = Vec::new();
    while !fields.0.is_empty() {
        members.push(member(&mut fields, limits)?);
    }
    if members.len() as u64 != place.entries {
        return Err(unsound(format!("it has {} members but says {}", members.len(), place.entries)));
    }
    Ok((members, place.offset))
}

/// Reads the end record, which must be the very end: a comment could hide another one.
fn locate(source: &Source) -> Result<Place, WheelError> {
    let no_end = || unsound("it does not end with a zip archive's end record, or something lies behind it".to_owned());
    let end_offset = source.len().checked_sub(END_BYTES as u64).ok_or_else(no_end)?;
    let bytes = source.read(end_offset, END_BYTES)?;
    let mut fields = Fields(&bytes);
    fields.signature(END, "end record").map_err(|_| no_end())?;
    let disks = (fields.u16()?, fields.u16()?);
    let (entries_here, entries) = (fields.u16()?, fields.u16()?);
    let (len, offset) = (fields.u32()?, fields.u32()?);
    if fields.u16()? != 0 {
        return Err(no_end());
    }
    if disks != (0, 0) || entries_here != entries {
        return Err(unsound("it is a part of several".to_owned()));
    }
    let (place, end) = if entries == u16::MAX || len == u32::MAX || offset == u32::MAX {
        let (place, end) = locate64(source, end_offset)?;
        let agree = (entries == u16::MAX || u64::from(entries) == place.entries)
            && (len == u32::MAX || u64::from(len) == place.len)
            && (offset == u32::MAX || u64::from(offset) == place.offset);
        if !agree {
            return Err(unsound("its two end records disagree".to_owned()));
        }
        (place, end)
    } else {
        (Place { offset: offset.into(), len: len.into(), entries: entries.into() }, end_offset)
    };
    if place.offset.checked_add(place.len) != Some(end) {
        return Err(unsound("its central directory does not lie right before its end record".to_owned()));
    }
    Ok(place)
}

/// Reads the 64-bit end record and its locator, which lie right before the end record; says where the first begins.
fn locate64(source: &Source, end_offset: u64) -> Result<(Place, u64), WheelError> {
    let no_end = || unsound("its 64-bit end record is missing".to_owned());
    let locator = end_offset.checked_sub(LOCATOR_BYTES as u64).ok_or_else(no_end)?;
    let end64 = locator.checked_sub(END64_BYTES as u64).ok_or_else(no_end)?;
    let bytes = source.read(end64, END64_BYTES + LOCATOR_BYTES)?;
    let mut fields = Fields(&bytes);
    fields.signature(END64, "64-bit end record")?;
    let record_bytes = fields.u64()?;
    fields.bytes(4)?;
    let disks = (fields.u32()?, fields.u32()?);
    let (entries_here, entries) = (fields.u64()?, fields.u64()?);
    let (len, offset) = (fields.u64()?, fields.u64()?);
    fields.signature(LOCATOR, "locator of the 64-bit end record")?;
    let (disk, points_at, disk_count) = (fields.u32()?, fields.u64()?, fields.u32()?);
    // The record's own length does not count its first twelve bytes.
    let sound = record_bytes == END64_BYTES as u64 - 12 && points_at == end64 && entries_here == entries;
    if !sound || disks != (0, 0) || disk != 0 || disk_count != 1 {
        return Err(unsound("its 64-bit end record is not sound".to_owned()));
    }
    Ok((Place { offset, len, entries }, end64))
}

fn member(fields: &mut Fields<'_>, limits: &WheelLimits) -> Result<Member, WheelError> {
    fields.signature(ENTRY, "entry of the central directory")?;
    fields.bytes(4)?;
    let (flags, method) = (fields.u16()?, fields.u16()?);
    fields.bytes(4)?;
    let crc32 = fields.u32()?;
    let (mut compressed_size, mut size) = (u64::from(fields.u32()?), u64::from(fields.u32()?));
    let (name_len, extra_len, comment_len) = (fields.u16()?, fields.u16()?, fields.u16()?);
    let disk = fields.u16()?;
    fields.bytes(2)?;
    let attributes = fields.u32()?;
    let mut header_offset = u64::from(fields.u32()?);
    let raw_name = fields.bytes(usize::from(name_len))?;
    let extra = fields.bytes(usize::from(extra_len))?;
    fields.bytes(usize::from(comment_len))?;

    let name = || shown(raw_name);
    if disk != 0 {
        return Err(unsound(format!("`{}` is on another disk", name())));
    }
    // Each value that does not fit has its place in the extra field, and no other has.
    let mut wide = Fields(fields::zip64(extra)?.unwrap_or_default());
    for value in [&mut size, &mut compressed_size, &mut header_offset] {
        if *value == u64::from(u32::MAX) {
            *value = wide.u64()?;
        }
    }
    if !wide.0.is_empty() {
        return Err(unsound(format!("`{}` has 64-bit values that it does not need", name())));
    }
    let (path, is_dir) = names::checked(raw_name, flags & UTF8 != 0, limits)?;
    check_mode(attributes >> 16, is_dir, name)?;
    if flags & ENCRYPTED != 0 {
        return Err(WheelError::Encrypted { member: name() });
    }
    if !matches!(method, 0 | 8) || flags & PATCHED != 0 {
        return Err(WheelError::Method { member: name(), method });
    }
    if method == 0 && size != compressed_size {
        return Err(unsound(format!("`{}` is not compressed and yet has two sizes", name())));
    }
    if is_dir && size != 0 {
        return Err(unsound(format!("the directory `{}` has contents", name())));
    }
    let flags = flags & READING_FLAGS;
    let raw_name = raw_name.to_vec();
    Ok(Member { path, is_dir, size, raw_name, flags, method, crc32, compressed_size, header_offset })
}

/// Whatever system the header names: an unpacker may or may not look at that.
fn check_mode(mode: u32, is_dir: bool, name: impl Fn() -> String) -> Result<(), WheelError> {
    let sound = match mode & FILE_TYPE {
        0 => is_dir || mode & AS_OTHERS == 0,
        REGULAR => !is_dir && mode & AS_OTHERS == 0,
        DIRECTORY => is_dir,
        _ => false,
    };
    if sound { Ok(()) } else { Err(WheelError::Special { member: name(), mode }) }
}
