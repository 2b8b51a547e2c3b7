//! A wheel of which only some pieces are here: enough to read its metadata, if they are the right ones.

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

use zip::ZipArchive;
use zip::result::ZipError;

use crate::packages::metadata::MAX_BYTES;

/// The pieces of a file, apart from each other and in order.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    total: u64,
    pieces: Vec<(u64, Vec<u8>)>,
}

/// What came of looking for the metadata.
#[derive(Debug)]
pub(super) enum Found {
    Metadata(Vec<u8>),
    /// A piece is missing: from here, up to the next piece that is here or the end.
    Missing {
        from: u64,
        to: u64,
    },
    Bad(String),
}

impl Pieces {
    /// The whole file.
    pub(super) fn whole(bytes: Vec<u8>) -> Self {
        Self { total: bytes.len() as u64, pieces: vec![(0, bytes)] }
    }

    /// A piece of a file with this many bytes.
    pub(super) fn of(total: u64, from: u64, bytes: Vec<u8>) -> Self {
        Self { total, pieces: vec![(from, bytes)] }
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The whole file, if all of it is here.
    pub(super) fn all(&self) -> Option<&[u8]> {
        match self.pieces.as_slice() {
            [(0, bytes)] if bytes.len() as u64 == self.total => Some(bytes),
            _ => None,
        }
    }

    /// Adds what was [`Found::Missing`], or the beginning of it.
    pub(super) fn add(&mut self, from: u64, bytes: Vec<u8>) {
        let at = self.pieces.partition_point(|(start, _)| *start < from);
        self.pieces.insert(at, (from, bytes));
    }

    /// The one `METADATA` of the one `.dist-info` directory.
    pub(super) fn metadata(&self) -> Found {
        let hole = Rc::new(Cell::new(None));
        let reader = Sparse { pieces: self, at: 0, hole: Rc::clone(&hole) };
        let read = read_metadata(reader);
        match (hole.get(), read) {
            (_, Ok(text)) => Found::Metadata(text),
            (Some(from), Err(_)) => {
                let next = self.pieces.iter().map(|(start, _)| *start).find(|start| *start > from);
                Found::Missing { from, to: next.unwrap_or(self.total) }
            }
            (None, Err(reason)) => Found::Bad(reason),
        }
    }
}

fn read_metadata(reader: Sparse<'_>) -> Result<Vec<u8>, String> {
    let mut archive = ZipArchive::new(reader).map_err(bad_zip)?;
    let is_metadata = |path: &[u8]| {
        let directory = path.strip_suffix(b"/METADATA").and_then(|path| path.strip_suffix(b".dist-info"));
        directory.is_some_and(|directory| !directory.contains(&b'/'))
    };
    let paths = archive.file_names_raw().enumerate();
    let found: Vec<usize> = paths.filter(|(_, path)| is_metadata(path)).map(|(number, _)| number).collect();
    let [number] = found.as_slice() else {
        return Err(format!("it has {} files *.dist-info/METADATA, not one", found.len()));
    };
    let member = archive.by_index(*number).map_err(bad_zip)?;
    let mut text = Vec::new();
    member.take(MAX_BYTES as u64 + 1).read_to_end(&mut text).map_err(|error| error.to_string())?;
    Ok(text)
}

fn bad_zip(error: ZipError) -> String {
    format!("it is no sound zip file: {error}")
}

struct Sparse<'a> {
    pieces: &'a Pieces,
    at: u64,
    /// Where the first byte was wanted that is not here.
    hole: Rc<Cell<Option<u64>>>,
}

impl Read for Sparse<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.at >= self.pieces.total {
            return Ok(0);
        }
        let here = self.pieces.pieces.iter().find_map(|(start, bytes)| {
            let offset = usize::try_from(self.at.checked_sub(*start)?).ok()?;
            bytes.get(offset..).filter(|rest| !rest.is_empty())
        });
        let Some(here) = here else {
            self.hole.set(self.hole.get().or(Some(self.at)));
            return Err(io::Error::other("this piece is not here"));
        };
        let count = here.len().min(buffer.len());
        buffer[..count].copy_from_slice(&here[..count]);
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Sparse<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.pieces.total.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
