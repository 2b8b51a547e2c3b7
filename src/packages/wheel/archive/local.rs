//! The members' own headers: they say what the central directory says, and lie without gaps.

use super::super::error::{WheelError, shown};
use super::central::{DESCRIPTOR, READING_FLAGS};
use super::fields::{self, Fields};
use super::{Member, Source, unsound};

const HEADER: u32 = 0x0403_4b50;
const HEADER_BYTES: usize = 30;
const DESCRIPTOR_SIGNATURE: u32 = 0x0807_4b50;

/// Checks that the members fill the archive up to `central_offset`, and that their headers agree.
pub(super) fn check(source: &Source, members: &[Member], central_offset: u64) -> Result<(), WheelError> {
    let mut in_order: Vec<&Member> = members.iter().collect();
    in_order.sort_by_key(|member| member.header_offset);
    let next_offsets = in_order.iter().skip(1).map(|member| member.header_offset).chain([central_offset]);
    if in_order.first().map_or(central_offset, |first| first.header_offset) != 0 {
        return Err(unsound("something lies before its first member".to_owned()));
    }
    for (member, next) in in_order.iter().zip(next_offsets) {
        let name = || shown(&member.raw_name);
        let end = header(source, member)?;
        let behind = end
            .and_then(|end| next.checked_sub(end))
            .ok_or_else(|| unsound(format!("`{}` overlaps what follows it", name())))?;
        let lies_well = if member.flags & DESCRIPTOR == 0 {
            behind == 0
        } else {
            // With or without a signature, with 32-bit or 64-bit sizes.
            matches!(behind, 12 | 16 | 20 | 24) && descriptor(source, member, next - behind, behind)?
        };
        if !lies_well {
            return Err(unsound(format!("something lies behind `{}` that is no member", name())));
        }
    }
    Ok(())
}

/// Checks a header against the central directory; returns where its data end.
fn header(source: &Source, member: &Member) -> Result<Option<u64>, WheelError> {
    let bytes = source.read(member.header_offset, HEADER_BYTES)?;
    let mut fields = Fields(&bytes);
    fields.signature(HEADER, "member")?;
    fields.bytes(2)?;
    let (flags, method) = (fields.u16()?, fields.u16()?);
    fields.bytes(4)?;
    let crc32 = fields.u32()?;
    let (compressed_size, size) = (fields.u32()?, fields.u32()?);
    let (name_len, extra_len) = (fields.u16()?, fields.u16()?);
    let behind_header = usize::from(name_len) + usize::from(extra_len);
    let rest = source.read(member.header_offset.saturating_add(HEADER_BYTES as u64), behind_header)?;
    let mut rest = Fields(&rest);
    let name = rest.bytes(usize::from(name_len))?;
    let wide = fields::zip64(rest.0)?;

    let mismatch = |field| Err(WheelError::Mismatch { member: shown(&member.raw_name), field });
    if name != member.raw_name {
        return mismatch("name");
    }
    if flags & READING_FLAGS != member.flags {
        return mismatch("flags");
    }
    if method != member.method {
        return mismatch("compression method");
    }
    // Where the values come only behind the data, nothing but zero may stand here instead of them.
    let later = member.flags & DESCRIPTOR != 0;
    if crc32 != member.crc32 && !(later && crc32 == 0) {
        return mismatch("checksum");
    }
    let (compressed_size, size) = match wide {
        // The 64-bit values are both there, or neither.
        Some(wide) => {
            let mut wide = Fields(wide);
            let (wide_size, wide_compressed) = (wide.u64()?, wide.u64()?);
            let fits = |narrow: u32, wide| narrow == u32::MAX || u64::from(narrow) == wide;
            if !wide.0.is_empty() || !fits(size, wide_size) || !fits(compressed_size, wide_compressed) {
                return mismatch("size");
            }
            (wide_compressed, wide_size)
        }
        None => (u64::from(compressed_size), u64::from(size)),
    };
    let agrees = |here: u64, central: u64| here == central || (later && here == 0);
    if !agrees(compressed_size, member.compressed_size) || !agrees(size, member.size) {
        return mismatch("size");
    }
    let data = (HEADER_BYTES + behind_header) as u64;
    Ok(member.header_offset.checked_add(data).and_then(|data| data.checked_add(member.compressed_size)))
}

/// Whether what lies behind a member's data repeats its checksum and sizes.
fn descriptor(source: &Source, member: &Member, offset: u64, len: u64) -> Result<bool, WheelError> {
    let bytes = source.read(offset, usize::try_from(len).unwrap_or_default())?;
    let mut fields = Fields(&bytes);
    if matches!(len, 16 | 24) && fields.u32()? != DESCRIPTOR_SIGNATURE {
        return Ok(false);
    }
    let crc32 = fields.u32()?;
    let (compressed_size, size) = if fields.0.len() == 8 {
        (u64::from(fields.u32()?), u64::from(fields.u32()?))
    } else {
        (fields.u64()?, fields.u64()?)
    };
    Ok((crc32, compressed_size, size) == (member.crc32, member.compressed_size, member.size))
}
