//! Flags that several commands share.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::config::{Config, ConfigError, LogSettings, Settings};
use crate::domain::{Limits, LimitsRequest};

/// What every command but `serve` needs around its work.
#[derive(Debug, Clone, Args)]
pub struct BaseArgs {
    /// Configuration file in TOML
    #[arg(long, value_name = "FILE", env = "PYMD_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// Directory of what can be made again: runtimes, images [default: pymd in the XDG cache directory]
    #[arg(long, value_name = "DIR", env = "PYMD_CACHE_DIR", global = true)]
    cache_dir: Option<PathBuf>,
    /// Directory of what must be kept: the database, environments [default: pymd in the XDG data directory]
    #[arg(long, value_name = "DIR", env = "PYMD_DATA_DIR", global = true)]
    data_dir: Option<PathBuf>,
    /// Simple API of the package index; PYMD_INDEX_URL and PIP_INDEX_URL are heeded, too
    #[arg(long, value_name = "URL", global = true)]
    index_url: Option<String>,
    /// What is logged.
    #[command(flatten)]
    log: LogSettings,
}

impl BaseArgs {
    /// The configuration with these flags.
    ///
    /// # Errors
    /// The file or the environment can't be used.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let flags = Settings {
            cache_dir: self.cache_dir.clone(),
            data_dir: self.data_dir.clone(),
            index_url: self.index_url.clone(),
            log: self.log.clone(),
            ..Settings::default()
        };
        Config::load(self.config.as_deref(), flags.or(Settings::from_environment()?))
    }
}

/// Limits of one run. They may be above the configured ones: the machine is the caller's own.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitFlags {
    /// Fuel of a cell, some 6 x 10^9 a second
    #[arg(long, value_name = "UNITS", value_parser = parse_count)]
    fuel: Option<u64>,
    /// Memory: bytes, or with a unit, such as 512MiB; at least 64MiB
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    memory: Option<u64>,
    /// Wall-clock time of a cell: seconds, or with a unit, such as 500ms or 2m
    #[arg(long, value_name = "TIME", value_parser = parse_ms)]
    timeout: Option<u64>,
    /// Output of a cell: bytes, or with a unit, such as 1MiB
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    output: Option<u64>,
}

impl LimitFlags {
    /// What to ask the service for.
    pub fn request(&self) -> LimitsRequest {
        LimitsRequest { fuel: self.fuel, memory_bytes: self.memory, wall_ms: self.timeout, output_bytes: self.output }
    }

    /// `limits`, raised to what is asked for.
    pub fn raise(&self, limits: Limits) -> Limits {
        Limits {
            fuel: limits.fuel.max(self.fuel.unwrap_or(0)),
            memory_bytes: limits.memory_bytes.max(self.memory.unwrap_or(0)),
            wall_ms: limits.wall_ms.max(self.timeout.unwrap_or(0)),
            output_bytes: limits.output_bytes.max(self.output.unwrap_or(0)),
            ..limits
        }
    }
}

fn parse_count(text: &str) -> Result<u64, String> {
    let count: u64 = text.replace('_', "").parse().map_err(|_| "expected a whole number".to_owned())?;
    // wasmtime counts in an `i64`.
    if i64::try_from(count).is_ok() { Ok(count) } else { Err("the number is too large".to_owned()) }
}

fn parse_bytes(text: &str) -> Result<u64, String> {
    let expected = || "expected bytes, or a number with KiB, MiB, GiB, KB, MB or GB".to_owned();
    let (number, unit) = split_unit(text);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(expected()),
    };
    let number: u64 = number.parse().map_err(|_| expected())?;
    number.checked_mul(factor).ok_or_else(|| "the size is too large".to_owned())
}

/// Milliseconds.
fn parse_ms(text: &str) -> Result<u64, String> {
    let expected = || "expected seconds, or a number with ms, s or m".to_owned();
    let (number, unit) = split_unit(text);
    let seconds_per_unit = match unit {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" => 60.0,
        _ => return Err(expected()),
    };
    let number: f64 = number.parse().map_err(|_| expected())?;
    let time = Duration::try_from_secs_f64(number * seconds_per_unit).map_err(|_| expected())?;
    // Rounded, because 0.3 s is a hair less than 300 ms.
    let micros = time.as_micros().saturating_add(500);
    u64::try_from(micros / 1000).map_err(|_| "the time is too long".to_owned())
}

/// A number and what follows it.
fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number.trim_end(), unit)
}

#[cfg(test)]
mod tests {
    use super::{parse_bytes, parse_ms};

    #[test]
    fn sizes_and_times_have_units() {
        assert_eq!(parse_bytes("100"), Ok(100));
        assert_eq!(parse_bytes("64 MiB"), Ok(64 << 20));
        assert_eq!(parse_bytes("2GB"), Ok(2_000_000_000));
        assert!(parse_bytes("-1").is_err() && parse_bytes("99999999999g").is_err() && parse_bytes("1x").is_err());
        assert_eq!(parse_ms("2"), Ok(2000));
        assert_eq!(parse_ms("0.3"), Ok(300));
        assert_eq!(parse_ms("250ms"), Ok(250));
        assert_eq!(parse_ms("1.5m"), Ok(90_000));
        assert!(parse_ms("-1").is_err() && parse_ms("inf").is_err() && parse_ms("1h").is_err());
    }
}
