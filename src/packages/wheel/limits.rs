//! How large a wheel may be, and which names it may not take.

/// What a wheel may come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WheelLimits {
    /// Bytes of the archive. Default: 1 GiB.
    pub archive_bytes: u64,
    /// Bytes of all files in it. Default: 2 GiB.
    pub unpacked_bytes: u64,
    /// Bytes of one file in it. Default: 1 GiB.
    pub file_bytes: u64,
    /// Files and directories in it. Default: 100,000.
    pub files: u64,
    /// Names that it may put into the root of `site-packages`. Default: 1,000.
    pub roots: usize,
    /// Bytes of a path in it; a name in a path has 255 at most. Default: 1,024.
    pub path_bytes: usize,
    /// Names in a path. Default: 32.
    pub depth: usize,
    /// How often the archive's own size its files may come to, where they come to more than 16 MiB. Default: 200.
    pub ratio: u64,
    /// Bytes of each of `METADATA`, `WHEEL` and `entry_points.txt`. Default: 8 MiB.
    pub metadata_bytes: u64,
}

impl Default for WheelLimits {
    fn default() -> Self {
        Self {
            archive_bytes: 1 << 30,
            unpacked_bytes: 2 << 30,
            file_bytes: 1 << 30,
            files: 100_000,
            roots: 1_000,
            path_bytes: 1_024,
            depth: 32,
            ratio: 200,
            metadata_bytes: 8 << 20,
        }
    }
}

impl WheelLimits {
    /// What may come out of any archive, however small it is.
    const FREE_BYTES: u64 = 16 << 20;

    /// What may come out of an archive of this size.
    pub(super) fn expansion_bytes(&self, archive_bytes: u64) -> u64 {
        archive_bytes.saturating_mul(self.ratio).max(Self::FREE_BYTES)
    }
}

/// What a wheel must keep to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WheelRules {
    /// Its sizes.
    pub limits: WheelLimits,
    /// Top-level names that no wheel may bring: those of the standard library, `pymd`, `IPython`, ... A `*` at the end
    /// stands for anything: `_pymd*`.
    pub forbidden_top_levels: Vec<String>,
}

impl WheelRules {
    /// The first of these names in the root of `site-packages` that is forbidden to import as, with what it would be
    /// imported as.
    pub fn forbidden<'a>(&self, roots: impl IntoIterator<Item = &'a String>) -> Option<(&'a str, &'a str)> {
        roots.into_iter().find_map(|root| {
            let top_level = root.split('.').next().unwrap_or_default();
            let forbidden = self.forbidden_top_levels.iter().any(|name| match name.strip_suffix('*') {
                Some(prefix) => top_level.starts_with(prefix),
                None => top_level == name,
            });
            // `typing.pyi` and `json.txt` are no modules; `json`, `json.py`, `json.pyc` and `json.any.so` are.
            let importable = match root.rsplit_once('.') {
                None => true,
                Some((_, suffix)) => matches!(suffix, "py" | "pyc" | "so" | "pyd" | "dylib"),
            };
            (forbidden && importable).then_some((root.as_str(), top_level))
        })
    }
}
