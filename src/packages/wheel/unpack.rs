//! From an archive to files, with every byte checked on its way.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::super::disk::{self, DiskError, Steps};
use super::super::wheel_name::WheelName;
use super::archive::{Archive, Source};
use super::contents::{self, WheelInfo};
use super::entry_points::{self, EntryPoints};
use super::error::{WheelError, shown};
use super::layout::{Layout, Place};
use super::limits::{WheelLimits, WheelRules};
use super::record::{self, Recorded};

/// The least that pays: most files of a wheel then take one read and one write.
const BUFFER_BYTES: usize = 128 << 10;
/// A `RECORD` has about a hundred bytes for each file.
const MAX_RECORD_BYTES: u64 = 64 << 20;
/// Files that it may list besides those that are there, before it is given up.
const RECORD_SLACK: usize = 1_000;
/// Every unpacked file was last changed on 1980-01-01: bytecode that was compiled from it stays good when it is unpacked
/// again, and guests on two machines see the same.
const MODIFIED: Duration = Duration::from_secs(315_532_800);

/// A file that was unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpackedFile {
    /// Its path in `site-packages`.
    pub path: String,
    /// Its bytes.
    pub size: u64,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
}

/// A wheel that was unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpackedWheel {
    /// What it holds.
    pub info: WheelInfo,
    /// Its files in `site-packages`, sorted by path.
    pub files: Vec<UnpackedFile>,
}

/// Unpacks the wheel at `archive`, whose name is `filename`, into the empty directory `into`, which becomes its part of
/// `site-packages`. On an error what lies there must not be used. Each file is a step.
///
/// # Errors
/// The wheel breaks a rule, or the disk does not take it.
pub fn unpack(
    archive: &Path,
    filename: &str,
    rules: &WheelRules,
    into: &Path,
    steps: &Steps,
) -> Result<UnpackedWheel, WheelError> {
    let name: WheelName = filename.parse()?;
    let source = Source::open(archive, &rules.limits)?;
    let mut archive = Archive::open(&source, &rules.limits)?;
    let layout = Layout::of(archive.members(), &name)?;
    let mut parts = Parts { archive: &mut archive, dist_info: &layout.dist_info, limits: &rules.limits };

    let root_is_purelib = contents::check_wheel(&parts.required("WHEEL", |reason| WheelError::Wheel { reason })?)?;
    let metadata = parts.required("METADATA", |reason| WheelError::Metadata { reason })?;
    let metadata = contents::check_metadata(&metadata, &name)?;
    let entry_points = parts.read("entry_points.txt", rules.limits.metadata_bytes)?;
    let entry_points = entry_points.map_or_else(EntryPoints::new, |text| entry_points::parse(&text));
    let recorded = Record::read(&mut parts)?;
    recorded.check_names(&archive, &layout)?;

    let mut info = WheelInfo {
        name: name.name.to_string(),
        version: name.version.to_string(),
        filename: filename.to_owned(),
        archive_bytes: source.len(),
        unpacked_bytes: 0,
        file_count: 0,
        left_count: layout.places.iter().filter(|place| **place == Place::Left).count() as u64,
        dist_info: layout.dist_info.clone(),
        root_is_purelib,
        summary: None,
        requires_python: None,
        requires_dist: Vec::new(),
        provides_extra: Vec::new(),
        entry_points,
        roots: Vec::new(),
        modules: Vec::new(),
        native: Vec::new(),
        pth: Vec::new(),
    };
    info.describe(&metadata);
    info.survey(layout.places.iter().filter_map(|place| match place {
        Place::Site(path) => Some(path.as_str()),
        Place::Directory | Place::Left => None,
    }));
    check_roots(&info, rules)?;

    let files = extract(&mut archive, &layout, &recorded, Writer { into, steps, made: HashSet::new() })?;
    info.file_count = files.len() as u64;
    info.unpacked_bytes = files.iter().map(|file| file.size).sum();
    Ok(UnpackedWheel { info, files })
}

fn check_roots(info: &WheelInfo, rules: &WheelRules) -> Result<(), WheelError> {
    if info.roots.len() > rules.limits.roots {
        let limit = rules.limits.roots as u64;
        return Err(WheelError::TooLarge { what: "names in the root of site-packages", limit });
    }
    match rules.forbidden(&info.roots) {
        Some((path, top_level)) => {
            Err(WheelError::Forbidden { path: shown(path.as_bytes()), top_level: top_level.to_owned() })
        }
        None => Ok(()),
    }
}

/// The files of the `.dist-info` directory.
struct Parts<'a, 'b> {
    archive: &'a mut Archive<'b>,
    dist_info: &'a str,
    limits: &'a WheelLimits,
}

impl Parts<'_, '_> {
    /// A file's bytes, if it is there.
    fn read(&mut self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, WheelError> {
        let path = format!("{}/{name}", self.dist_info);
        let mut members = self.archive.members().iter().enumerate();
        let Some((index, member)) = members.find(|(_, member)| !member.is_dir && member.path == path) else {
            return Ok(None);
        };
        if member.size > limit {
            return Err(WheelError::TooLarge { what: "bytes in a file of its .dist-info directory", limit });
        }
        let mut bytes = Vec::new();
        self.archive.unpack(index, &mut vec![0; BUFFER_BYTES], |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(Some(bytes))
    }

    fn required(&mut self, name: &str, error: fn(String) -> WheelError) -> Result<Vec<u8>, WheelError> {
        self.read(name, self.limits.metadata_bytes)?.ok_or_else(|| error("it is missing".to_owned()))
    }
}

/// A wheel's `RECORD`.
struct Record {
    path: String,
    files: std::collections::HashMap<String, Recorded>,
}

impl Record {
    fn read(parts: &mut Parts<'_, '_>) -> Result<Self, WheelError> {
        let text = parts.read("RECORD", MAX_RECORD_BYTES)?.ok_or(WheelError::NoRecord)?;
        // One that is listed and not there is named; a million of them are not even read.
        let most = parts.archive.members().len().saturating_add(RECORD_SLACK);
        Ok(Self { path: format!("{}/RECORD", parts.dist_info), files: record::parse(&text, most)? })
    }

    /// Whether a file need not be listed: the list itself, and what signs it.
    fn exempts(&self, path: &str) -> bool {
        matches!(path.strip_prefix(self.path.as_str()), Some("" | ".jws" | ".p7s"))
    }

    /// Checks that it lists what is there, no more and no less.
    fn check_names(&self, archive: &Archive<'_>, layout: &Layout) -> Result<(), WheelError> {
        let is_file = |(_, place): &(_, &Place)| **place != Place::Directory;
        let members = archive.members().iter().zip(&layout.places).filter(is_file);
        let mut paths = HashSet::with_capacity(self.files.len());
        for (member, _) in members {
            let path = member.path.as_str();
            paths.insert(path);
            let hashed = self.files.get(path).is_some_and(|recorded| recorded.sha256.is_some());
            if !hashed && !self.exempts(path) {
                return Err(WheelError::Unlisted { path: shown(path.as_bytes()) });
            }
        }
        // The first by name, so that one wheel gives one message.
        match self.files.keys().filter(|path| !paths.contains(path.as_str())).min() {
            Some(path) => Err(WheelError::Missing { path: shown(path.as_bytes()) }),
            None => Ok(()),
        }
    }

    fn check(&self, path: &str, size: u64, sha256: &[u8; 32]) -> Result<(), WheelError> {
        let Some(recorded) = self.files.get(path) else { return Ok(()) };
        let shown = || shown(path.as_bytes());
        match recorded {
            Recorded { size: Some(expected), .. } if *expected != size => {
                Err(WheelError::Size { path: shown(), expected: *expected, found: size })
            }
            Recorded { sha256: Some(expected), .. } if expected != sha256 => Err(WheelError::Digest {
                path: shown(),
                expected: hex::encode(expected),
                computed: hex::encode(sha256),
            }),
            _ => Ok(()),
        }
    }
}

fn extract(
    archive: &mut Archive<'_>,
    layout: &Layout,
    recorded: &Record,
    mut writer: Writer<'_>,
) -> Result<Vec<UnpackedFile>, WheelError> {
    // A RECORD that lists what is not installed, or elsewhere, is written anew, as every installer does.
    let rewrites_record = layout.moves_files(archive.members());
    let members: Vec<(String, u64)> = archive.members().iter().map(|m| (m.path.clone(), m.size)).collect();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut files = Vec::with_capacity(members.len());
    for (index, ((member, size), place)) in members.iter().zip(&layout.places).enumerate() {
        let target = match place {
            Place::Directory => continue,
            Place::Left => None,
            Place::Site(_) if rewrites_record && *member == recorded.path => continue,
            Place::Site(path) => Some(path),
        };
        let mut file = target.map(|path| writer.create(path)).transpose()?;
        let mut hasher = Sha256::new();
        archive.unpack(index, &mut buffer, |piece| {
            hasher.update(piece);
            file.as_mut().map_or(Ok(()), |file| file.write(piece))
        })?;
        let sha256 = hasher.finalize().into();
        recorded.check(member, *size, &sha256)?;
        if let Some(file) = file {
            files.push(file.finish(*size, sha256)?);
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    if rewrites_record {
        let rows = files.iter().map(|file| (file.path.as_str(), file.sha256, file.size));
        let text = record::write(rows, &recorded.path);
        let mut file = writer.create(&recorded.path)?;
        file.write(text.as_bytes())?;
        files.push(file.finish(text.len() as u64, Sha256::digest(&text).into())?);
        files.sort_by(|a, b| a.path.cmp(&b.path));
    }
    Ok(files)
}

/// Makes the files below a directory.
struct Writer<'a> {
    into: &'a Path,
    steps: &'a Steps,
    /// Directories that are there.
    made: HashSet<String>,
}

impl Writer<'_> {
    fn create(&mut self, path: &str) -> Result<NewFile, WheelError> {
        let place = self.into.join(path);
        self.steps.reach("unpack", &place)?;
        if let Some((above, _)) = path.rsplit_once('/')
            && !self.made.contains(above)
        {
            disk::private_dir(&self.into.join(above))?;
            self.made.insert(above.to_owned());
        }
        Ok(NewFile { path: path.to_owned(), file: disk::create_file(&place)?, place })
    }
}

struct NewFile {
    path: String,
    place: std::path::PathBuf,
    file: std::fs::File,
}

impl NewFile {
    fn write(&mut self, piece: &[u8]) -> Result<(), WheelError> {
        Ok(self.file.write_all(piece).map_err(DiskError::at("write", &self.place))?)
    }

    fn finish(self, size: u64, sha256: [u8; 32]) -> Result<UnpackedFile, WheelError> {
        let modified = SystemTime::UNIX_EPOCH + MODIFIED;
        self.file.set_modified(modified).map_err(DiskError::at("write", &self.place))?;
        Ok(UnpackedFile { path: self.path, size, sha256 })
    }
}
