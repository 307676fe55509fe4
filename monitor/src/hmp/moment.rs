//! A time of QMP as people write it.

use serde_json::Value;

const DAY: i64 = 24 * 60 * 60;

/// `2026-11-22 20:00:01.000002 UTC` for a `Timestamp`.
pub(super) fn moment(timestamp: &Value) -> String {
    let seconds = timestamp["seconds"].as_i64().unwrap_or_default();
    let microseconds = timestamp["microseconds"].as_i64().unwrap_or_default();
    let (year, month, day) = date(seconds.div_euclid(DAY));
    let time = seconds.rem_euclid(DAY);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{microseconds:06} UTC")
}

/// Year, month and day of a day counted from 1970-01-01, in years that start with March, so that a leap day is the last.
fn date(days: i64) -> (i64, i64, i64) {
    const ERA: i64 = 146_097;
    let days = days.saturating_add(719_468);
    let (era, day) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    let year = (day - day / 1_460 + day / 36_524 - day / (ERA - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn days_are_those_of_the_calendar() {
        let day = |seconds: i64| moment(&json!({"seconds": seconds, "microseconds": 7}));
        assert_eq!(day(0), "1970-01-01 00:00:00.000007 UTC");
        assert_eq!(day(951_827_696), "2000-02-29 12:34:56.000007 UTC");
        assert_eq!(day(1_735_689_599), "2024-12-31 23:59:59.000007 UTC");
        assert_eq!(day(-1), "1969-12-31 23:59:59.000007 UTC");
        assert!(!day(i64::MAX).is_empty() && !day(i64::MIN).is_empty());
    }
}
