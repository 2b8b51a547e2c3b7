//! How large an environment may be: looked at before its wheels are fetched, and again when they are unpacked.

use crate::domain::{Lockfile, QuotaExceeded, QuotaKind};
use crate::packages::cache::CachedWheel;

/// Refuses more packages than an environment may have.
pub(in crate::service) fn check_count(wanted: usize, allowed: u64) -> Result<(), QuotaExceeded> {
    let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
    let what = QuotaKind::PackagesPerEnvironment;
    if wanted > allowed { Err(QuotaExceeded { what, used: 0, wanted, allowed }) } else { Ok(()) }
}

/// Refuses what is too large already as it is packed, as far as the index says it.
pub(in crate::service) fn check_packed(lock: &Lockfile, used: u64, allowed: u64) -> Result<(), QuotaExceeded> {
    check(lock.packages.iter().filter_map(|package| package.wheel.size_bytes), used, allowed)
}

/// Refuses wheels whose files are too large together.
pub(in crate::service) fn check_unpacked(wheels: &[CachedWheel], used: u64, allowed: u64) -> Result<(), QuotaExceeded> {
    check(wheels.iter().map(|wheel| wheel.info().unpacked_bytes), used, allowed)
}

fn check(sizes: impl Iterator<Item = u64>, used: u64, allowed: u64) -> Result<(), QuotaExceeded> {
    let wanted = sizes.fold(0, u64::saturating_add);
    // A tier may have become smaller: what there is may stay, and shrink.
    if wanted > allowed && wanted > used {
        return Err(QuotaExceeded { what: QuotaKind::EnvironmentBytes, used, wanted, allowed });
    }
    Ok(())
}
