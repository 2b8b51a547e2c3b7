//! Cron expressions: what is one, when it comes, and on nights when clocks are set.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use pymd::domain::{CronExpression, TimeZoneName};

fn times(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let (cron, name): (CronExpression, TimeZoneName) = (cron.parse().unwrap(), zone.parse().unwrap());
    let mut after: Timestamp = after.parse().unwrap();
    let mut times = Vec::new();
    for _ in 0..count {
        after = cron.next_after(&name, after).unwrap();
        times.push(after.in_tz(zone).unwrap().strftime("%m-%d %H:%M %:z").to_string());
    }
    times
}

#[test]
fn one_time_of_day_comes_once_whatever_the_clock_does() {
    assert_eq!(
        times("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3),
        ["03-28 02:30 +01:00", "03-29 03:00 +02:00", "03-30 02:30 +02:00"],
        "right after the gap"
    );
    assert_eq!(
        times("30 2 * * *", "Europe/Berlin", "2026-10-24T00:00:00Z", 3),
        ["10-24 02:30 +02:00", "10-25 02:30 +02:00", "10-26 02:30 +01:00"],
        "at the first of two times"
    );
    assert_eq!(
        times("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 2),
        ["10-04 02:30 +11:00", "10-05 02:15 +11:00"],
        "half an hour is left out there"
    );
}

#[test]
fn several_times_of_day_follow_the_clock() {
    assert_eq!(
        times("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", 3),
        ["03-29 01:30 +01:00", "03-29 03:00 +02:00", "03-29 03:30 +02:00"]
    );
    assert_eq!(
        times("@hourly", "Europe/Berlin", "2026-10-24T23:30:00Z", 3),
        ["10-25 02:00 +02:00", "10-25 02:00 +01:00", "10-25 03:00 +01:00"]
    );
    assert_eq!(
        times("0,30 2 * * *", "Europe/Berlin", "2026-03-28T02:00:00Z", 1),
        ["03-30 02:00 +02:00"],
        "left out with the hour"
    );
}

#[test]
fn a_day_that_a_zone_leaves_out_ends_nothing() {
    assert_eq!(
        times("0 9 * * *", "Pacific/Apia", "2011-12-29T18:59:00Z", 3),
        ["12-29 09:00 -10:00", "12-31 09:00 +14:00", "01-01 09:00 +14:00"]
    );
    assert_eq!(times("0 0 * * *", "Pacific/Apia", "2011-12-29T09:59:00Z", 2).len(), 2);
}

#[test]
fn what_is_no_expression_is_refused() {
    let long = "1,".repeat(100_000) + "1 * * * *";
    for text in [
        "",
        " ",
        "*",
        "* * * *",
        "* * * * * *",
        "* * * * * * *",
        "@reboot",
        "@every 1s",
        "@daily x",
        "@",
        "*/0 * * * *",
        "60 * * * *",
        "* 24 * * *",
        "0 0 0 * *",
        "0 0 32 * *",
        "0 0 * 13 *",
        "0 0 * * 8",
        "5-1 * * * *",
        "1,,2 * * * *",
        ",1 * * * *",
        "MON * * * *",
        "* JAN * * *",
        "0 0 * * +",
        "0 0 * * #",
        "0 0 * * 1#6",
        "0 0 W * *",
        "*/99999999999999999999 * * * *",
        "-1 * * * *",
        "é * * * *",
        "\u{130} * * * *",
        "0 0 * *\u{a0}*",
        "0\0 0 * * *",
        "0 0\n* * *",
        "% % % % %",
        "0 0 * * FRIDAY",
        "/5 * * * *",
        &long,
    ] {
        let error = text.parse::<CronExpression>().expect_err(text);
        assert!(error.to_string().contains("five fields"), "{error}");
    }
    for text in
        ["*/15 * * * *", " 0 0 1 JAN MON-FRI ", "@HOURLY", "0 0 L * *", "0 0 15W * *", "0 9 * * 1#2", "0 0 * * 7"]
    {
        let cron: CronExpression = text.parse().unwrap();
        assert_eq!(cron.as_str(), text.trim());
    }
    for text in
        ["", "Europe", "Europe/Atlantis", "../../etc/passwd", "/etc/localtime", "Local", "Etc/Unknown", "A\0", "+01:00"]
    {
        assert!(text.parse::<TimeZoneName>().is_err(), "{text:?}");
    }
    assert!("Europe/Berlin/".repeat(1000).parse::<TimeZoneName>().is_err());
    assert_eq!("europe/berlin".parse::<TimeZoneName>().unwrap().as_str(), "Europe/Berlin");
}

#[test]
fn what_never_comes_is_found_out_soon() {
    let now: Timestamp = "2026-11-23T00:00:00Z".parse().unwrap();
    let begun = Instant::now();
    for text in ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "59 23 31 11 +FRI#5", "0 0 30 2 +MON"] {
        let cron: CronExpression = text.parse().unwrap();
        assert_eq!(cron.next_after(&"Europe/Berlin".parse().unwrap(), now), None, "{text}");
        assert_eq!(cron.shortest_gap(now), None, "{text}");
    }
    let rare: CronExpression = "0 0 29 2 +MON".parse().unwrap();
    assert_eq!(rare.next_after(&TimeZoneName::default(), now), Some("2044-02-29T00:00:00Z".parse().unwrap()));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn the_shortest_time_between_two_is_found_wherever_it_is() {
    let now: Timestamp = "2026-11-23T10:07:30Z".parse().unwrap();
    for (text, minutes) in [
        ("* * * * *", Some(1)),
        ("*/15 * * * *", Some(15)),
        ("0,59 * * * *", Some(1)),
        ("@hourly", Some(60)),
        ("0 0 * * *", Some(1440)),
        // Only over midnight, and only where two days in a row have it.
        ("0,58 0,23 * * *", Some(2)),
        ("0,58 0,23 1 * *", Some(58)),
        ("0,58 0,23 1,31 * *", Some(2)),
        ("59 0,23 28,29 2 *", Some(60)),
        ("1,2 3 29 2 *", Some(1)),
        // Once in a year of eight, nothing to compare with.
        ("0 0 29 2 +MON", None),
        ("0 0 1 1 *", Some(365 * 1440)),
    ] {
        let cron: CronExpression = text.parse().unwrap();
        assert_eq!(cron.shortest_gap(now), minutes.map(SignedDuration::from_mins), "{text}");
    }
}
