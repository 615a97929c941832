//! Digests, Base64, charsets and URLs.

use super::call::{Arguments, Kernel, failure};
use super::catalogue::Signature;
use crate::error::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use datafusion_common::Result as EvalResult;
use datafusion_common::arrow::array::{ArrayRef, BinaryBuilder};
use sha2::Digest;
use std::fmt::Write;
use std::sync::Arc;

pub(super) fn kernel(signature: &Signature<'_>) -> Result<Option<Kernel>> {
    Ok(Some(match signature.name {
        "MD5" => digest::<md5::Md5>(),
        "SHA1" => digest::<sha1::Sha1>(),
        "SHA224" => digest::<sha2::Sha224>(),
        "SHA256" => digest::<sha2::Sha256>(),
        "SHA384" => digest::<sha2::Sha384>(),
        "SHA512" => digest::<sha2::Sha512>(),
        "TO_BASE64" => Arc::new(|a| {
            let s = a.text(0);
            a.collect_texts(|row| Some(BASE64.encode(s.get(row)?)))
        }),
        "FROM_BASE64" => Arc::new(|a| {
            let s = a.text(0);
            a.try_collect_texts(|row| {
                let Some(s) = s.get(row) else { return Ok(None) };
                let bytes = BASE64.decode(s).map_err(|error| failure(format!("FROM_BASE64('{s}'): {error}")))?;
                Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
            })
        }),
        "ENCODE" => Arc::new(encode),
        "DECODE" => Arc::new(|a| {
            let (bytes, charset) = (a.bytes(0), a.text(1));
            a.try_collect_texts(|row| match (bytes.get(row), charset.get(row)) {
                (Some(bytes), Some(name)) => Ok(Some(Charset::parse(name)?.decode(bytes))),
                _ => Ok(None),
            })
        }),
        "PARSE_URL" => Arc::new(parse_url),
        _ => return Ok(None),
    }))
}

fn digest<D: Digest>() -> Kernel {
    Arc::new(|a| {
        let s = a.text(0);
        a.collect_texts(|row| {
            let mut hex = String::new();
            for byte in D::digest(s.get(row)?) {
                write!(hex, "{byte:02x}").expect("a String takes all that is written");
            }
            Some(hex)
        })
    })
}

enum Charset {
    Ascii,
    Latin1,
    Utf8,
    Utf16 { little: bool, mark: bool },
}

impl Charset {
    fn parse(name: &str) -> EvalResult<Self> {
        Ok(match name.to_ascii_uppercase().as_str() {
            "US-ASCII" | "ASCII" => Self::Ascii,
            "ISO-8859-1" | "LATIN1" => Self::Latin1,
            "UTF-8" | "UTF8" => Self::Utf8,
            "UTF-16BE" => Self::Utf16 { little: false, mark: false },
            "UTF-16LE" => Self::Utf16 { little: true, mark: false },
            "UTF-16" => Self::Utf16 { little: false, mark: true },
            _ => return Err(failure(format!("Unsupported encoding: {name}"))),
        })
    }

    /// What the charset doesn't have becomes a question mark, as in Java.
    fn encode(&self, s: &str) -> Vec<u8> {
        let narrow = |limit: u32| s.chars().map(move |c| if u32::from(c) < limit { u32::from(c) as u8 } else { b'?' });
        match self {
            Self::Ascii => narrow(128).collect(),
            Self::Latin1 => narrow(256).collect(),
            Self::Utf8 => s.as_bytes().to_vec(),
            Self::Utf16 { little, mark } => {
                let mark = mark.then_some(0xFEFF);
                let units = mark.into_iter().chain(s.encode_utf16());
                units.flat_map(|unit| if *little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
            }
        }
    }

    fn decode(&self, bytes: &[u8]) -> String {
        match self {
            Self::Ascii => bytes.iter().map(|&b| if b < 128 { char::from(b) } else { '\u{FFFD}' }).collect(),
            Self::Latin1 => bytes.iter().map(|&b| char::from(b)).collect(),
            Self::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
            Self::Utf16 { little, mark } => {
                let (little, bytes) = match bytes {
                    [0xFE, 0xFF, rest @ ..] if *mark => (false, rest),
                    [0xFF, 0xFE, rest @ ..] if *mark => (true, rest),
                    _ => (*little, bytes),
                };
                let unit = |pair: &[u8]| match pair {
                    [a, b] if little => u16::from_le_bytes([*a, *b]),
                    [a, b] => u16::from_be_bytes([*a, *b]),
                    _ => 0xFFFD,
                };
                String::from_utf16_lossy(&bytes.chunks(2).map(unit).collect::<Vec<_>>())
            }
        }
    }
}

fn encode(a: &Arguments) -> EvalResult<ArrayRef> {
    let (s, charset) = (a.text(0), a.text(1));
    let mut builder = BinaryBuilder::new();
    for row in 0..a.rows {
        match (s.get(row), charset.get(row)) {
            (Some(s), Some(name)) => builder.append_value(Charset::parse(name)?.encode(s)),
            _ => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn parse_url(a: &Arguments) -> EvalResult<ArrayRef> {
    let (url, part) = (a.text(0), a.text(1));
    let key = (a.values.len() > 2).then(|| a.text(2));
    a.collect_texts(|row| {
        let url = Url::parse(url.get(row)?)?;
        let part = part.get(row)?;
        match &key {
            None => url.part(part),
            Some(key) => {
                let key = key.get(row)?;
                let query = if part == "QUERY" { url.query? } else { return None };
                query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('=').map(str::to_owned))
            }
        }
    })
}

/// As java.net.URL cuts it.
struct Url<'a> {
    protocol: &'a str,
    authority: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    fragment: Option<&'a str>,
}

impl<'a> Url<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (protocol, rest) = text.split_once(':')?;
        if !matches!(protocol, "http" | "https" | "ftp" | "file" | "jar") {
            return None;
        }
        let (rest, fragment) = rest.split_once('#').map_or((rest, None), |(rest, fragment)| (rest, Some(fragment)));
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            None => ("", rest),
        };
        Some(Self { protocol, authority, path, query, fragment })
    }

    fn part(&self, part: &str) -> Option<String> {
        let (user, host) = self.authority.rsplit_once('@').map_or((None, self.authority), |(u, h)| (Some(u), h));
        let value = match part {
            "PROTOCOL" => self.protocol,
            "AUTHORITY" => self.authority,
            "USERINFO" => user?,
            "HOST" => match host.rsplit_once(':') {
                Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
                _ => host,
            },
            "PATH" => self.path,
            "QUERY" => self.query?,
            "REF" => self.fragment?,
            "FILE" => {
                let query = self.query.map_or(String::new(), |query| format!("?{query}"));
                return Some(format!("{}{query}", self.path));
            }
            _ => return None,
        };
        Some(value.to_owned())
    }
}
