//! Text and numbers as they may stand in a page.

use std::borrow::Cow;
use std::fmt::Write as _;

use types::{DurationMs, Timestamp};

/// `text` for HTML content and quoted attributes. Series names come from anybody: besides markup, characters
/// that are invisible or turn the direction of writing become U+FFFD.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    let special = |c: char| {
        matches!(c, '&' | '<' | '>' | '"' | '\'' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            || (c.is_control() && c != '\n' && c != '\t')
    };
    if !text.contains(special) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if special(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// A value for people: five significant digits, with k, M, G, T above ten thousand.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    let (scaled, suffix) = match size {
        s if !s.is_finite() => return "–".to_owned(),
        s if s >= 1e15 || (s > 0.0 && s < 1e-4) => return format!("{value:.3e}").replace('-', "−"),
        s if s >= 1e12 => (value / 1e12, " T"),
        s if s >= 1e9 => (value / 1e9, " G"),
        s if s >= 1e6 => (value / 1e6, " M"),
        s if s >= 1e4 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let before = scaled.abs().max(1.0).log10().floor() as usize + 1;
    let mut text = format!("{scaled:.*}", 5_usize.saturating_sub(before).min(4));
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    format!("{}{suffix}", text.replace('-', "−"))
}

/// [`number`], or a dash.
pub(super) fn number_or_dash(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), number)
}

/// Appends a JSON number of `digits` significant digits, or `null`.
pub(super) fn json(out: &mut String, value: Option<f64>, digits: usize) {
    let Some(value) = value.filter(|v| v.is_finite()) else {
        out.push_str("null");
        return;
    };
    let short = format!("{value:.*e}", digits.saturating_sub(1));
    let rounded: f64 = short.parse().unwrap_or(value);
    let size = rounded.abs();
    // Writing to a string cannot fail.
    let _ = if size != 0.0 && !(1e-4..1e9).contains(&size) {
        write!(out, "{rounded:e}")
    } else {
        write!(out, "{rounded}")
    };
}

/// `2014-04-02 14:05` (UTC), with seconds only where there are some.
pub(super) fn time(at: Timestamp) -> String {
    let text = at.to_string();
    let text = text.trim_end_matches('Z');
    let text = text.strip_suffix(":00").unwrap_or(text);
    text.replacen('T', " ", 1)
}

/// [`time`] as an element, which does not break across lines.
pub(super) fn instant(at: Timestamp) -> String {
    format!("<time datetime=\"{at}\">{}</time>", time(at))
}

/// `90 s`, `5 min`, `1 h 30 min`, `2 d 4 h`: the two largest units.
pub(super) fn duration(ms: DurationMs) -> String {
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "min"),
        (1000, "s"),
        (1, "ms"),
    ];
    let mut rest = ms.max(0);
    let mut words = Vec::new();
    for (size, name) in units {
        if rest >= size {
            words.push(format!("{} {name}", rest / size));
            rest %= size;
        } else if !words.is_empty() {
            break;
        }
        if words.len() == 2 {
            break;
        }
    }
    if words.is_empty() {
        "0 s".to_owned()
    } else {
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_turned_text_are_disarmed() {
        let hostile = "</script><img src=x onerror='a()'>&\"\u{202e}\u{0}";
        let safe = escape(hostile);
        assert_eq!(
            safe,
            "&lt;/script&gt;&lt;img src=x onerror=&#39;a()&#39;&gt;&amp;&quot;\u{fffd}\u{fffd}"
        );
        assert!(matches!(escape("cpu 5 %"), Cow::Borrowed("cpu 5 %")));
    }

    #[test]
    fn numbers_are_short() {
        for (value, want) in [
            (0.0, "0"),
            (-0.25, "−0.25"),
            (1234.5678, "1234.6"),
            (12_345.0, "12.345 k"),
            (6.5e9, "6.5 G"),
            (1e-9, "1.000e−9"),
            (99_999.99, "100 k"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(number(value), want, "{value}");
        }
    }

    #[test]
    fn json_numbers_parse_back() {
        for value in [0.0, -1.5, 123_456.789, 6.02e23, 1e-300, f64::MAX, -4e-5] {
            let mut out = String::new();
            json(&mut out, Some(value), 6);
            let back: f64 = serde_json::from_str(&out).unwrap();
            assert!((back - value).abs() <= value.abs() * 1e-5, "{out}");
            assert!(out.len() < 14, "{out}");
        }
        let mut out = String::new();
        json(&mut out, Some(f64::INFINITY), 6);
        json(&mut out, None, 6);
        assert_eq!(out, "nullnull");
    }

    #[test]
    fn times_and_durations_read_well() {
        assert_eq!(
            time(Timestamp::from_millis(1_396_447_500_000)),
            "2014-04-02 14:05"
        );
        assert_eq!(
            time(Timestamp::from_millis(1_396_447_501_500)),
            "2014-04-02 14:05:01.500"
        );
        for (ms, want) in [
            (0, "0 s"),
            (90_000, "1 min 30 s"),
            (300_000, "5 min"),
            (86_400_000, "1 d"),
            (90_061_000, "1 d 1 h"),
            (86_460_000, "1 d"),
        ] {
            assert_eq!(duration(ms), want);
        }
    }
}
