//! Wall-clock times as texts.

use std::fmt;

/// Milliseconds since 1970-01-01 00:00 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wall(pub(crate) u64);

/// Days and time of day of a moment (proleptic Gregorian calendar).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: u64,
    pub(crate) month: u64,
    pub(crate) day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    ms: u64,
}

impl Wall {
    /// The moment in UTC.
    pub(crate) fn utc(self) -> Civil {
        let (seconds, ms) = (self.0 / 1000, self.0 % 1000);
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        // Years from 1 March 0000 on, so that the leap day is the last of its year.
        let days = days + 719_468;
        let era = days / 146_097;
        let of_era = days % 146_097;
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * of_year + 2) / 153;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        Civil {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: of_year - (153 * month_from_march + 2) / 5 + 1,
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
            ms,
        }
    }

    /// The moment so many seconds east of UTC, for logs that others read in local time.
    pub(crate) fn shifted(self, east_s: i32) -> Self {
        Self(self.0.saturating_add_signed(i64::from(east_s) * 1000))
    }

    /// Days since 1970.
    pub(crate) fn day(self) -> u64 {
        self.0 / 86_400_000
    }

    /// `2026-01-31T23:59:59.999Z` (RFC 3339).
    pub(crate) fn rfc3339(self) -> impl fmt::Display {
        let c = self.utc();
        fmt::from_fn(move |f| write!(f, "{}T{}Z", c.date(), c.time()))
    }
}

impl Civil {
    /// `2026-01-31`.
    pub(crate) fn date(self) -> impl fmt::Display {
        let Self {
            year, month, day, ..
        } = self;
        fmt::from_fn(move |f| write!(f, "{year:04}-{month:02}-{day:02}"))
    }

    /// `23:59:59.999`.
    pub(crate) fn time(self) -> impl fmt::Display {
        let Self {
            hour,
            minute,
            second,
            ms,
            ..
        } = self;
        fmt::from_fn(move |f| write!(f, "{hour:02}:{minute:02}:{second:02}.{ms:03}"))
    }
}
