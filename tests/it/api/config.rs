//! Settings: which layer wins, and what is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use clap::CommandFactory as _;
use pymd::cli::Cli;
use pymd::config::{AdminToken, Config, Settings, TokenError};
use pymd::domain::RenderPolicy;
use tempfile::TempDir;

use crate::support::pymd;

/// A file with this text, kept as long as the directory.
fn file(text: &str) -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("pymd.toml");
    fs::write(&path, text).unwrap();
    (directory, path)
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn flags_win_over_the_file_and_that_over_the_defaults() {
    let (_directory, path) = file(
        "listen = '127.0.0.1:1'\nindex_url = 'http://file/'\n[limits]\nfuel = 7\nwall_ms = 8\n\
         [executor]\nmax_queued = 9\n[http]\nbody_limit_bytes = 5000\n[log]\nfilter = 'debug'\nformat = 'json'\n\
         [renders]\nkeep_within_ms = 5\nkeep_days = 6\n",
    );
    let mut flags = Settings { listen: Some("[::1]:2".parse().unwrap()), ..Settings::default() };
    flags.limits.wall_ms = Some(3);
    flags.renders.keep_days = Some(4);
    let config = Config::load(Some(&path), flags).unwrap();
    assert_eq!(config.listen().unwrap().to_string(), "[::1]:2");
    assert_eq!((config.limits.fuel, config.limits.wall_ms, config.limits.open_files), (7, 3, 256));
    assert_eq!((config.executor.max_queued, config.executor.max_running), (9, 64));
    assert_eq!(config.http.body_limit_bytes, 5000);
    assert_eq!(config.renders, RenderPolicy { keep_after_ms: 2000, keep_within_ms: 5, keep_days: 4 });
    assert_eq!(config.index_url(), "http://file/");
    assert_eq!(config.log.filter.as_deref(), Some("debug"));

    let default = Config::load(None, Settings::default()).unwrap();
    assert_eq!(default.listen().unwrap().to_string(), "127.0.0.1:8787");
    assert_eq!(default.limits, pymd::domain::Limits::default());
    assert_eq!(default.http.body_limit_bytes, 16 << 20);
    assert_eq!(default.renders, RenderPolicy::default());
}

#[test]
fn pips_index_is_the_second_choice_of_the_environment() {
    let (_directory, path) = file("index_url = 'http://file/'");
    let pip = Settings { pip_index_url: Some("http://pip/".to_owned()), ..Settings::default() };
    assert_eq!(Config::load(Some(&path), pip.clone()).unwrap().index_url(), "http://pip/");
    let both = Settings { index_url: Some("http://ours/".to_owned()), ..pip };
    assert_eq!(Config::load(Some(&path), both).unwrap().index_url(), "http://ours/");
}

#[test]
fn what_cannot_be_set_is_refused_by_name() {
    for (text, name) in [
        ("listen = 'x'", "listen"),
        ("[limits]\nfuell = 1", "fuell"),
        ("[executor]\nthread = 1", "thread"),
        ("pip_index_url = 'x'", "pip_index_url"),
        ("listen = 'nowhere'", "127.0.0.1:8787"),
        ("admin_token = 'has a space'", "token"),
        ("[limits]\nfuel = 'much'", "line 2"),
        ("[limits]\nfuel = 0", "limits.fuel"),
        ("[limits]\nmemory_bytes = 1000", "limits.memory_bytes"),
        ("[limits]\ncpu_share = -1.0", "limits.cpu_share"),
        ("[limits]\ncpu_share = nan", "limits.cpu_share"),
        ("[executor]\nthreads = 0", "executor.threads"),
        ("[http]\nbody_limit_bytes = 1", "http.body_limit_bytes"),
        ("[renders]\nkeep_days = 0", "renders.keep_days"),
        ("[renders]\nkeep_after_ms = 100000000", "renders.keep_after_ms"),
        ("[renders]\nkeep_weeks = 1", "keep_weeks"),
        ("listen = ", "line 1"),
    ] {
        let (_directory, path) = file(text);
        let message = Config::load(Some(&path), Settings::default()).unwrap_err().to_string();
        assert!(message.contains(name), "{text}: {message}");
    }
    // The file may hold the token: its lines are not repeated.
    let (_directory, path) = file("admin_token = 'very-secret' 'x'");
    let message = Config::load(Some(&path), Settings::default()).unwrap_err().to_string();
    assert!(!message.contains("very-secret"), "{message}");
}

#[test]
fn only_this_machine_is_served() {
    for listen in ["0.0.0.0:1", "192.168.1.1:8787", "[::]:1", "[2001:db8::1]:1"] {
        let flags = Settings { listen: Some(listen.parse().unwrap()), ..Settings::default() };
        let message = Config::load(None, flags).unwrap().listen().unwrap_err().to_string();
        assert!(message.contains(listen) && message.contains("loopback"), "{message}");
        // Not the data of whoever runs the tests.
        let directory = TempDir::new().unwrap();
        let output = pymd().args(["serve", "--listen", listen, "--data-dir"]).arg(directory.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        assert!(String::from_utf8_lossy(&output.stderr).contains("loopback"));
    }
}

#[test]
fn the_environment_lists_itself_and_is_checked() {
    let output = pymd().args(["serve", "--help"]).env("PYMD_ADMIN_TOKEN", "very-secret").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for variable in ["LISTEN", "DATA_DIR", "CACHE_DIR", "CONFIG", "INDEX_URL", "ADMIN_TOKEN", "LOG", "LIMITS_FUEL"] {
        assert!(help.contains(&format!("[env: PYMD_{variable}")), "{variable}: {help}");
    }
    assert!(!help.contains("very-secret"));
    for (variable, value) in [("PYMD_LIMITS_FUEL", "much"), ("PYMD_LISTEN", "x"), ("PYMD_LOG", "=,=")] {
        let output = pymd().args(["run", "-c", "1"]).env(variable, value).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{variable}: {message}");
        let name = if variable == "PYMD_LOG" { "log.filter" } else { variable };
        assert!(message.contains(name), "{variable}: {message}");
    }
}

#[test]
fn a_token_is_made_once_and_only_its_owner_can_read_it() {
    let directory = TempDir::new().unwrap();
    let data_dir = directory.path().join("new/data");
    let made: Vec<String> = std::thread::scope(|scope| {
        let make = || AdminToken::load_or_create(&data_dir).unwrap().expose().to_owned();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(made.iter().all(|token| *token == made[0]), "all get the same");
    assert!(made[0].len() >= 43, "256 bits");
    let path = data_dir.join("admin-token");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&data_dir)), (0o600, 0o700));
    assert_eq!(fs::read_dir(&data_dir).unwrap().count(), 1, "nothing is left behind");

    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(AdminToken::load_or_create(&data_dir), Err(TokenError::Open { .. })));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    for bad in ["", "\n", "two words\n", "\u{fc}\n"] {
        fs::write(&path, bad).unwrap();
        assert!(matches!(AdminToken::load_or_create(&data_dir), Err(TokenError::Malformed { .. })), "{bad:?}");
    }
    let token: AdminToken = "secret".parse().unwrap();
    assert_eq!(format!("{token:?}"), "AdminToken(..)");
    assert!(token.matches("secret") && !token.matches("secret ") && !token.matches("") && !token.matches("Secret"));
}
