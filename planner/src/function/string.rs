//! Functions of strings. Positions and lengths count characters (code points), from 1.

use super::{Default, FunctionDefinition as F, Nulls, Parameter as P, ResultType as R};

const S: P = P::String;
const HASH: &str = "The digest of the string's UTF-8 bytes, as lower-case hexadecimal digits.";

pub static FUNCTIONS: &[F] = &[
    F::new("UPPER", &[S], R::String, "In upper case (Unicode, no locale).").called(&["UPPER", "UCASE"]),
    F::new("LOWER", &[S], R::String, "In lower case (Unicode, no locale).").called(&["LOWER", "LCASE"]),
    F::new("INITCAP", &[S], R::String, "Every word (of ASCII letters and digits) with one capital first.")
        .called(&["INITCAP"]),
    F::new("CHAR_LENGTH", &[S], R::Int, "The number of characters.").called(&["CHAR_LENGTH", "CHARACTER_LENGTH"]),
    F::new("CONCAT", &[S], R::String, "One after the other (also: ||).").called(&["CONCAT"]).variadic(),
    F::new(
        "CONCAT_WS",
        &[S, S],
        R::String,
        "The second argument and those after it, with the first between; NULLs among them are skipped, and \
         a NULL separator gives NULL.",
    )
    .called(&["CONCAT_WS"])
    .variadic()
    .nulls(Nulls::Own),
    F::new(
        "SUBSTRING",
        &[S, P::Int, P::Int],
        R::String,
        "SUBSTRING(s, position [, length]): position 0 is read as 1; a negative one counts from the end, and \
         gives '' where it is before the start. To the end without a length; NULL with a negative length.",
    )
    .called(&["SUBSTRING", "SUBSTR"])
    .required(2)
    .nulls(Nulls::StrictNullable),
    F::new("LEFT", &[S, P::Int], R::String, "The first n characters; '' where n is not positive.").called(&["LEFT"]),
    F::new("RIGHT", &[S, P::Int], R::String, "The last n characters; '' where n is not positive.").called(&["RIGHT"]),
    F::new(
        "BTRIM",
        &[S, S],
        R::String,
        "Without the characters at either end that occur in the second argument (also: TRIM).",
    )
    .called(&["BTRIM"])
    .defaults(&[Default::String(" ")]),
    F::new("LTRIM", &[S, S], R::String, "Like BTRIM, at the start (also: TRIM LEADING).")
        .called(&["LTRIM"])
        .defaults(&[Default::String(" ")]),
    F::new("RTRIM", &[S, S], R::String, "Like BTRIM, at the end (also: TRIM TRAILING).")
        .called(&["RTRIM"])
        .defaults(&[Default::String(" ")]),
    F::new(
        "LPAD",
        &[S, P::Int, S],
        R::String,
        "Padded at the start with the third argument to that length, or cut to it; NULL for a negative \
         length or an empty pad.",
    )
    .called(&["LPAD"])
    .nulls(Nulls::StrictNullable),
    F::new("RPAD", &[S, P::Int, S], R::String, "Like LPAD, at the end.").called(&["RPAD"]).nulls(Nulls::StrictNullable),
    F::new("REPEAT", &[S, P::Int], R::String, "n times; '' where n is not positive.").called(&["REPEAT"]),
    F::new("REVERSE", &[S], R::String, "The characters from last to first.").called(&["REVERSE"]),
    F::new("REPLACE", &[S, S, S], R::String, "REPLACE(s, search, replacement), every occurrence.").called(&["REPLACE"]),
    F::new(
        "OVERLAY",
        &[S, S, P::Int, P::Int],
        R::String,
        "OVERLAY(s PLACING replacement FROM position [FOR length]); the length of the replacement without \
         one. s itself where the position is not in it.",
    )
    .required(3),
    F::new(
        "POSITION",
        &[S, S],
        R::Int,
        "POSITION(search, s): where search first occurs in s, 0 if nowhere (also: LOCATE and INSTR of two).",
    ),
    F::new("LOCATE", &[S, S, P::Int], R::Int, "LOCATE(search, s, from): POSITION at or after `from`.")
        .called(&["LOCATE"]),
    F::new("STARTSWITH", &[S, S], R::Boolean, "STARTSWITH(s, prefix); TRUE for an empty prefix.")
        .called(&["STARTSWITH"]),
    F::new("ENDSWITH", &[S, S], R::Boolean, "ENDSWITH(s, suffix); TRUE for an empty suffix.").called(&["ENDSWITH"]),
    F::new(
        "SPLIT_INDEX",
        &[S, S, P::Int],
        R::String,
        "SPLIT_INDEX(s, delimiter, index): the part at the index, from 0; NULL where there is none. The \
         parts of '' are none; empty parts between delimiters count.",
    )
    .called(&["SPLIT_INDEX"])
    .nulls(Nulls::StrictNullable),
    F::new(
        "LIKE",
        &[S, S, S],
        R::Boolean,
        "LIKE(s, pattern [, escape]): `%` is any characters, `_` one, and the escape character makes the \
         next one literal. Without an escape there is none.",
    )
    .required(2),
    F::new("REGEXP", &[S, S], R::Boolean, "Whether a part of s matches the regular expression (RLIKE).")
        .called(&["REGEXP"]),
    F::new(
        "REGEXP_REPLACE",
        &[S, S, S],
        R::String,
        "REGEXP_REPLACE(s, regex, replacement), every match; `$1` in the replacement is a group. NULL for an \
         invalid expression.",
    )
    .called(&["REGEXP_REPLACE"])
    .nulls(Nulls::StrictNullable),
    F::new(
        "REGEXP_EXTRACT",
        &[S, S, P::Int],
        R::String,
        "REGEXP_EXTRACT(s, regex [, group]): of the first match; group 0, the default, is all of it. NULL \
         without a match, such a group, or a valid expression.",
    )
    .called(&["REGEXP_EXTRACT"])
    .defaults(&[Default::Int(0)])
    .nulls(Nulls::StrictNullable),
    F::new("ASCII", &[S], R::Int, "The code of the first byte's character; 0 for ''.").called(&["ASCII"]),
    F::new("CHR", &[P::BigInt], R::String, "The character with code n % 256 (Latin-1); '' for negative n.")
        .called(&["CHR"]),
    F::new("MD5", &[S], R::String, HASH).called(&["MD5"]),
    F::new("SHA1", &[S], R::String, HASH).called(&["SHA1"]),
    F::new("SHA224", &[S], R::String, HASH).called(&["SHA224"]),
    F::new("SHA256", &[S], R::String, HASH).called(&["SHA256"]),
    F::new("SHA384", &[S], R::String, HASH).called(&["SHA384"]),
    F::new("SHA512", &[S], R::String, HASH).called(&["SHA512"]),
    F::new("TO_BASE64", &[S], R::String, "Base64 (with padding) of the UTF-8 bytes.").called(&["TO_BASE64"]),
    F::new(
        "FROM_BASE64",
        &[S],
        R::String,
        "The string that the Base64 encodes; bytes that are not UTF-8 become U+FFFD, and what is not Base64 \
         fails the row.",
    )
    .called(&["FROM_BASE64"]),
    F::new(
        "ENCODE",
        &[S, S],
        R::Bytes,
        "ENCODE(s, charset): US-ASCII, ISO-8859-1, UTF-8, UTF-16BE, UTF-16LE or UTF-16; another fails the row.",
    )
    .called(&["ENCODE"]),
    F::new("DECODE", &[P::Bytes, S], R::String, "DECODE(bytes, charset), the opposite of ENCODE.").called(&["DECODE"]),
    F::new(
        "PARSE_URL",
        &[S, S, S],
        R::String,
        "PARSE_URL(url, part [, key]): the part is HOST, PATH, QUERY, REF, PROTOCOL, FILE, AUTHORITY or \
         USERINFO; with QUERY, the value of that key. NULL where there is none, or for an invalid URL.",
    )
    .called(&["PARSE_URL"])
    .required(2)
    .nulls(Nulls::StrictNullable),
];
