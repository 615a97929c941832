//! Patterns of Java's DateTimeFormatter, of which the letters that dates, times and zones need: formats
//! and reads by them, with English names.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};

#[derive(Clone, Debug)]
pub(super) struct Pattern {
    items: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq)]
enum Item {
    Literal(String),
    /// A letter and how often it stands there.
    Field(char, usize),
}

const FIELDS: &str = "yuMLdDHhkKmsSnNaEQqX";
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl Pattern {
    /// Err says what is wrong with it.
    pub(super) fn parse(pattern: &str) -> Result<Self, String> {
        let mut items: Vec<Item> = Vec::new();
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            let literal = match c {
                '\'' if chars.next_if_eq(&'\'').is_some() => "'".to_owned(),
                '\'' => quoted(&mut chars).ok_or_else(|| format!("the pattern '{pattern}' has an open quote"))?,
                c if c.is_ascii_alphabetic() => {
                    let mut count = 1;
                    while chars.next_if_eq(&c).is_some() {
                        count += 1;
                    }
                    if !FIELDS.contains(c) {
                        return Err(format!("the pattern '{pattern}' has a letter that is not known: {c}"));
                    }
                    items.push(Item::Field(c, count));
                    continue;
                }
                c => c.to_string(),
            };
            match items.last_mut() {
                Some(Item::Literal(before)) => before.push_str(&literal),
                _ => items.push(Item::Literal(literal)),
            }
        }
        Ok(Self { items })
    }

    /// `offset`: seconds that the clock is ahead of UTC.
    pub(super) fn format(&self, time: NaiveDateTime, offset: i32) -> String {
        let mut out = String::new();
        for item in &self.items {
            match item {
                Item::Literal(text) => out.push_str(text),
                Item::Field(letter, count) => out.push_str(&field(*letter, *count, time, offset)),
            }
        }
        out
    }

    /// None where the text is not of the pattern. What it doesn't say is that of 1970-01-01 00:00:00.
    pub(super) fn read(&self, text: &str) -> Option<NaiveDateTime> {
        let mut rest = text;
        let mut parts = Parts::default();
        for (place, item) in self.items.iter().enumerate() {
            match item {
                Item::Literal(literal) => rest = rest.strip_prefix(literal.as_str())?,
                Item::Field(letter, count) => {
                    let adjacent = matches!(self.items.get(place + 1), Some(Item::Field(..)));
                    rest = parts.take(*letter, *count, adjacent, rest)?;
                }
            }
        }
        if rest.is_empty() { parts.time() } else { None }
    }
}

fn quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let mut text = String::new();
    loop {
        match chars.next()? {
            '\'' if chars.next_if_eq(&'\'').is_some() => text.push('\''),
            '\'' => return Some(text),
            c => text.push(c),
        }
    }
}

fn field(letter: char, count: usize, t: NaiveDateTime, offset: i32) -> String {
    let number = |value: i64| format!("{value:0count$}");
    let named = |name: &str| match count {
        3 => name[..3].to_owned(),
        5 => name[..1].to_owned(),
        _ => name.to_owned(),
    };
    let hour = i64::from(t.hour());
    match letter {
        'y' | 'u' if count == 2 => format!("{:02}", t.year().rem_euclid(100)),
        'y' | 'u' => number(i64::from(t.year())),
        'M' | 'L' if count > 2 => named(MONTHS[t.month0() as usize]),
        'M' | 'L' => number(i64::from(t.month())),
        'd' => number(i64::from(t.day())),
        'D' => number(i64::from(t.ordinal())),
        'H' => number(hour),
        'k' => number(if hour == 0 { 24 } else { hour }),
        'K' => number(hour % 12),
        'h' => number(if hour % 12 == 0 { 12 } else { hour % 12 }),
        'm' => number(i64::from(t.minute())),
        's' => number(i64::from(t.second())),
        'S' => format!("{:09}", t.nanosecond()).chars().chain(std::iter::repeat('0')).take(count).collect(),
        'n' => number(i64::from(t.nanosecond())),
        'N' => number(i64::from(t.num_seconds_from_midnight()) * 1_000_000_000 + i64::from(t.nanosecond())),
        'a' => if hour < 12 { "AM" } else { "PM" }.to_owned(),
        'E' => match count {
            1..=3 => WEEKDAYS[t.weekday().num_days_from_monday() as usize][..3].to_owned(),
            _ => named(WEEKDAYS[t.weekday().num_days_from_monday() as usize]),
        },
        'Q' | 'q' => number(i64::from(t.month0() / 3 + 1)),
        _ => shown_offset(offset, count),
    }
}

/// `X`: `Z` for UTC, else `+08` or `+0530`; `XX` always with minutes, `XXX` with a colon.
fn shown_offset(offset: i32, count: usize) -> String {
    if offset == 0 {
        return "Z".to_owned();
    }
    let sign = if offset < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset.abs() / 3600, offset.abs() / 60 % 60);
    match (count, minutes) {
        (1, 0) => format!("{sign}{hours:02}"),
        (1 | 2, _) => format!("{sign}{hours:02}{minutes:02}"),
        _ => format!("{sign}{hours:02}:{minutes:02}"),
    }
}

/// What has been read so far.
#[derive(Default)]
struct Parts {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    hour: Option<u32>,
    half_hour: Option<u32>,
    afternoon: Option<bool>,
    minute: Option<u32>,
    second: Option<u32>,
    nanos: Option<u32>,
}

impl Parts {
    /// What follows the field in `text`. A field next to another has exactly its width.
    fn take<'a>(&mut self, letter: char, count: usize, adjacent: bool, text: &'a str) -> Option<&'a str> {
        // Two letters are two digits; one is as many as there are.
        let digits = || {
            let longest = if count == 1 { 9 } else { count };
            let length = text.bytes().take(longest).take_while(u8::is_ascii_digit).count();
            let (number, rest) = text.split_at(length);
            (length >= count).then_some((number.parse::<u32>().ok()?, rest))
        };
        match letter {
            'y' | 'u' if count == 2 => {
                let (year, rest) = digits()?;
                self.year = Some(2000 + year as i32);
                return Some(rest);
            }
            'y' | 'u' => {
                let (sign, unsigned) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
                let longest = if adjacent && count > 1 { count } else { 9 };
                let length = unsigned.bytes().take(longest).take_while(u8::is_ascii_digit).count();
                if length < count {
                    return None;
                }
                self.year = Some(sign * unsigned[..length].parse::<i32>().ok()?);
                return Some(&unsigned[length..]);
            }
            'M' | 'L' if count > 2 => {
                let (index, rest) = take_name(&MONTHS, count, text)?;
                self.month = Some(index as u32 + 1);
                return Some(rest);
            }
            'E' => return take_name(&WEEKDAYS, if count < 4 { 3 } else { count }, text).map(|(_, rest)| rest),
            'a' => {
                let half = text.get(..2)?;
                self.afternoon = Some(half.eq_ignore_ascii_case("PM"));
                return (half.eq_ignore_ascii_case("AM") || half.eq_ignore_ascii_case("PM")).then(|| &text[2..]);
            }
            'S' => {
                let length = text.bytes().take(count).take_while(u8::is_ascii_digit).count();
                if length < count || count > 9 {
                    return None;
                }
                self.nanos = Some(text[..count].parse::<u32>().ok()? * 10u32.pow(9 - count as u32));
                return Some(&text[count..]);
            }
            'Q' | 'q' => return digits().map(|(_, rest)| rest),
            _ => {}
        }
        let (number, rest) = digits()?;
        let place = match letter {
            'M' | 'L' => &mut self.month,
            'd' => &mut self.day,
            'D' => &mut self.day_of_year,
            'H' => &mut self.hour,
            'k' => {
                self.hour = Some(number % 24);
                return (1..=24).contains(&number).then_some(rest);
            }
            'K' => &mut self.half_hour,
            'h' => {
                self.half_hour = Some(number % 12);
                return (1..=12).contains(&number).then_some(rest);
            }
            'm' => &mut self.minute,
            's' => &mut self.second,
            'n' => &mut self.nanos,
            _ => return None,
        };
        *place = Some(number);
        Some(rest)
    }

    fn time(&self) -> Option<NaiveDateTime> {
        let year = self.year.unwrap_or(1970);
        let date = match self.day_of_year {
            Some(day) => NaiveDate::from_yo_opt(year, day)?,
            None => self.date(year)?,
        };
        let hour = match (self.hour, self.half_hour) {
            (Some(hour), _) => hour,
            (None, Some(half)) => half + if self.afternoon == Some(true) { 12 } else { 0 },
            (None, None) => 0,
        };
        let (minute, second) = (self.minute.unwrap_or(0), self.second.unwrap_or(0));
        let time = NaiveTime::from_hms_nano_opt(hour, minute, second, self.nanos.unwrap_or(0))?;
        Some(date.and_time(time))
    }

    /// A day up to 31 that the month doesn't have becomes its last, as Java's default resolver has it.
    fn date(&self, year: i32) -> Option<NaiveDate> {
        let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        if !(1..=31).contains(&day) {
            return None;
        }
        (0..4).find_map(|less| NaiveDate::from_ymd_opt(year, month, day - less.min(day - 1)))
    }
}

fn take_name<'a>(names: &[&str], count: usize, text: &'a str) -> Option<(usize, &'a str)> {
    names.iter().enumerate().find_map(|(index, name)| {
        let name = if count == 3 { &name[..3] } else { name };
        Some((index, text.strip_prefix(name)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time() -> NaiveDateTime {
        NaiveDate::from_ymd_opt(2024, 2, 9).unwrap().and_hms_nano_opt(15, 4, 5, 6_700_000).unwrap()
    }

    #[test]
    fn patterns_format_as_java_does() {
        for (pattern, expected) in [
            ("yyyy-MM-dd HH:mm:ss.SSS", "2024-02-09 15:04:05.006"),
            ("yy/M/d h:m a", "24/2/9 3:4 PM"),
            ("EEE, d MMM yyyy", "Fri, 9 Feb 2024"),
            ("EEEE MMMM 'o''clock' DDD", "Friday February o'clock 040"),
            ("yyyyMMddHHmmssSSSSSS", "20240209150405006700"),
            ("HH:mmXXX", "15:04+05:30"),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().format(time(), 19_800), expected, "{pattern}");
        }
        assert!(Pattern::parse("yyyy-bb").is_err());
        assert!(Pattern::parse("yyyy 'open").is_err());
    }

    #[test]
    fn patterns_read_what_they_format() {
        for pattern in ["yyyy-MM-dd HH:mm:ss.SSSSSSSSS", "yyyyMMddHHmmssSSSSSSSSS", "d MMM yyyy h:mm:ss.SSSSSSSSS a"] {
            let pattern = Pattern::parse(pattern).unwrap();
            assert_eq!(pattern.read(&pattern.format(time(), 0)), Some(time()), "{pattern:?}");
        }
        let date = Pattern::parse("yyyy-MM-dd").unwrap();
        assert_eq!(date.read("2024-02-31"), date.read("2024-02-29"));
        assert_eq!(date.read("2024-2-9"), None);
        assert_eq!(date.read("2024-02-09x"), None);
        assert_eq!(date.read("2024-13-01"), None);
    }
}
