//! `meta.json`: what a block is and where it comes from.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh64::Xxh64;

use super::{BlockId, json};
use crate::{
    error::{Error, Result},
    model::TimeRange,
};

/// Description of a block, with the section that Thanos adds.
///
/// Unknown keys are accepted and dropped.
///
/// Source: Prometheus `tsdb/block.go`, Thanos `pkg/block/metadata/meta.go`.
///
/// ```
/// use thanoslib::BlockMeta;
/// let meta = BlockMeta::parse(
///     br#"{"version": 1, "ulid": "01BX5ZZKBKACTAV9WEVGEMMVS0", "minTime": 0, "maxTime": 7200000,
///          "thanos": {"labels": {"cluster": "eu1"}, "downsample": {"resolution": 0}, "source": "sidecar"}}"#,
/// )?;
/// assert_eq!((meta.range().maxt, meta.thanos.labels["cluster"].as_str()), (7_200_000, "eu1"));
/// assert_eq!(BlockMeta::parse(&meta.encode()?)?, meta);
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlockMeta {
    /// Name of the block.
    pub ulid: BlockId,
    /// First millisecond covered.
    #[serde(rename = "minTime")]
    pub min_time: i64,
    /// First millisecond after.
    #[serde(rename = "maxTime")]
    pub max_time: i64,
    /// Numbers of what is inside.
    pub stats: BlockStats,
    /// How the block came to be.
    pub compaction: Compaction,
    /// Format version, 1.
    pub version: i64,
    /// Thanos' part.
    pub thanos: ThanosMeta,
}

/// Numbers of what is in a block; 0 is left out.
///
/// See [`BlockMeta`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BlockStats {
    /// Samples of all kinds.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_samples: u64,
    /// Float samples.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_float_samples: u64,
    /// Histogram samples.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_histogram_samples: u64,
    /// Series.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_series: u64,
    /// Chunks.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_chunks: u64,
    /// Deleted intervals.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_tombstones: u64,
}

/// How a block came to be.
///
/// See [`BlockMeta`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Compaction {
    /// 1 for blocks cut from a head, else one more than the highest level merged.
    pub level: i64,
    /// The level 1 blocks that went in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<BlockId>,
    /// True when compacting left nothing.
    #[serde(skip_serializing_if = "is_false")]
    pub deletable: bool,
    /// The blocks that were merged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<ParentMeta>,
    /// True when compacting failed before.
    #[serde(skip_serializing_if = "is_false")]
    pub failed: bool,
    /// Origins, such as `from-out-of-order`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

/// A block that was merged.
///
/// See [`BlockMeta`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ParentMeta {
    /// Name.
    pub ulid: BlockId,
    /// First millisecond covered.
    #[serde(rename = "minTime")]
    pub min_time: i64,
    /// First millisecond after.
    #[serde(rename = "maxTime")]
    pub max_time: i64,
}

/// What Thanos notes about a block.
///
/// See [`BlockMeta`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ThanosMeta {
    /// Version of this section; 0 counts as 1.
    #[serde(skip_serializing_if = "is_zero_i64")]
    pub version: i64,
    /// External labels of the producer.
    pub labels: BTreeMap<String, String>,
    /// Resolution.
    pub downsample: DownsampleMeta,
    /// Who made the block: `sidecar`, `receive`, `compactor`, …
    pub source: String,
    /// Names of the chunk segments; deprecated upstream and still written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub segment_files: Vec<String>,
    /// The objects of the block.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileMeta>,
    /// Changes of the content after the fact.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rewrites: Vec<Rewrite>,
    /// Sizes that help to read by range.
    pub index_stats: IndexStats,
    /// Free JSON of other programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extensions: Option<serde_json::Value>,
    /// When the block was uploaded.
    pub upload_time: UploadTime,
}

/// Resolution of a block.
///
/// See [`BlockMeta`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DownsampleMeta {
    /// Window length in ms; 0 for raw samples.
    pub resolution: i64,
}

/// An object of a block.
///
/// See [`BlockMeta`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileMeta {
    /// Path below the block.
    pub rel_path: String,
    /// Size in bytes, 0 when unknown.
    #[serde(skip_serializing_if = "is_zero_i64")]
    pub size_bytes: i64,
    /// Hash of the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<FileHash>,
}

/// Hash of an object.
///
/// See [`BlockMeta`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileHash {
    /// `SHA256`.
    #[serde(rename = "hashFunc")]
    pub func: String,
    /// Lower case hex.
    pub value: String,
}

/// A change of a block's content.
///
/// See [`BlockMeta`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rewrite {
    /// The blocks that were rewritten.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<BlockId>,
    /// Deletions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deletions_applied: Vec<Deletion>,
    /// Relabel configurations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub relabels_applied: Vec<serde_json::Value>,
}

/// Deleted samples of some series.
///
/// See [`BlockMeta`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Deletion {
    /// Which series.
    pub matchers: Option<Vec<MatcherMeta>>,
    /// Which times; all when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub intervals: Vec<RewriteInterval>,
    /// Who asked.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request_id: String,
}

/// A matcher as Go writes the struct.
///
/// See [`BlockMeta`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct MatcherMeta {
    /// 0 `=`, 1 `!=`, 2 `=~`, 3 `!~`.
    pub r#type: i64,
    /// Label.
    pub name: String,
    /// Value or pattern.
    pub value: String,
}

/// An inclusive range of times as Go writes the struct.
///
/// See [`BlockMeta`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RewriteInterval {
    /// First millisecond.
    pub mint: i64,
    /// Last millisecond.
    pub maxt: i64,
}

/// Sizes that help to read by range; 0 when unknown.
///
/// See [`BlockMeta`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IndexStats {
    /// Largest series entry in bytes.
    #[serde(skip_serializing_if = "is_zero_i64")]
    pub series_max_size: i64,
    /// Largest chunk in bytes, about.
    #[serde(skip_serializing_if = "is_zero_i64")]
    pub chunk_max_size: i64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

fn is_zero_i64(n: &i64) -> bool {
    *n == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_false(b: &bool) -> bool {
    !*b
}

/// Every key of the format, for reading in any case.
const KEYS: &[&str] = &[
    "ulid",
    "minTime",
    "maxTime",
    "stats",
    "numSamples",
    "numFloatSamples",
    "numHistogramSamples",
    "numSeries",
    "numChunks",
    "numTombstones",
    "compaction",
    "level",
    "sources",
    "deletable",
    "parents",
    "failed",
    "hints",
    "version",
    "thanos",
    "labels",
    "downsample",
    "resolution",
    "source",
    "segment_files",
    "files",
    "rel_path",
    "size_bytes",
    "hash",
    "hashFunc",
    "value",
    "rewrites",
    "deletions_applied",
    "matchers",
    "intervals",
    "request_id",
    "relabels_applied",
    "index_stats",
    "series_max_size",
    "chunk_max_size",
    "extensions",
    "upload_time",
    "Type",
    "Name",
    "Value",
    "Mint",
    "Maxt",
];

impl BlockMeta {
    /// Name of the object.
    pub const FILE: &'static str = "meta.json";

    /// Reads the object.
    ///
    /// # Errors
    /// `Corrupt` for anything but the JSON of version 1.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let meta: Self = json::read(bytes, KEYS, true)?;
        if meta.version != 1 {
            return Err(Error::corrupt(format!("unexpected meta file version {}", meta.version)));
        }
        if !matches!(meta.thanos.version, 0 | 1) {
            // Compat: Thanos names the version that it wants (`pkg/block/metadata/meta.go`).
            return Err(Error::corrupt("unexpected meta file Thanos section version 1"));
        }
        Ok(meta)
    }

    /// The bytes that Thanos writes: JSON indented by tabs, and a newline.
    ///
    /// # Errors
    /// `Internal` when a value has no JSON form.
    pub fn encode(&self) -> Result<Vec<u8>> {
        json::write_pretty(self)
    }

    /// The time that the block covers.
    pub fn range(&self) -> TimeRange {
        TimeRange::new(self.min_time, self.max_time)
    }

    /// Size of the index, if the description says it.
    pub fn index_bytes(&self) -> Option<u64> {
        let file = self.thanos.files.iter().find(|f| f.rel_path == "index")?;
        u64::try_from(file.size_bytes).ok().filter(|n| *n > 0)
    }

    /// Resolution and hash of the external labels: blocks of one key are compacted together.
    pub fn group_key(&self) -> String {
        let mut hash = Xxh64::new(0);
        for (name, value) in &self.thanos.labels {
            for s in [name, value] {
                hash.update(s.as_bytes());
                hash.update(&[0xff]);
            }
        }
        format!("{}@{}", self.thanos.downsample.resolution, hash.digest())
    }
}

impl fmt::Display for BlockMeta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (min time: {}, max time: {})", self.ulid, self.min_time, self.max_time)
    }
}

/// When a block was uploaded, as RFC 3339 text; year 1 when it was not noted.
///
/// ```
/// use thanoslib::block::UploadTime;
/// assert_eq!(UploadTime::from_unix_ms(1_500).unix_ms(), Some(1_500));
/// assert_eq!(UploadTime::default().unix_ms(), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UploadTime {
    text: String,
    unix_ms: Option<i64>,
}

const UNSET: &str = "0001-01-01T00:00:00Z";

impl Default for UploadTime {
    fn default() -> Self {
        Self { text: UNSET.to_owned(), unix_ms: None }
    }
}

impl UploadTime {
    /// A time in milliseconds since the Unix epoch.
    pub fn from_unix_ms(ms: i64) -> Self {
        let (days, rest) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
        let (year, month, day) = civil(days);
        let (s, frac) = (rest / 1000, rest % 1000);
        let frac = format!(".{frac:03}");
        let frac = frac.trim_end_matches('0').trim_end_matches('.');
        let (hour, minute, second) = (s / 3600, s / 60 % 60, s % 60);
        let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{frac}Z");
        Self { text, unix_ms: Some(ms) }
    }

    /// Milliseconds since the Unix epoch; `None` when it was not noted.
    pub fn unix_ms(&self) -> Option<i64> {
        self.unix_ms
    }
}

impl From<UploadTime> for String {
    fn from(time: UploadTime) -> Self {
        time.text
    }
}

impl TryFrom<String> for UploadTime {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let bad = || Error::corrupt(format!("{text:?} is no RFC 3339 time"));
        let (whole, fraction, zone) = split_time(&text).ok_or_else(bad)?;
        let number = |r: std::ops::Range<usize>| {
            let digits = whole.get(r)?;
            digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<i64>().ok())?
        };
        let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        if whole.len() != 19 || marks.iter().any(|(i, m)| whole.as_bytes().get(*i) != Some(m)) {
            return Err(bad());
        }
        let parts = [0..4, 5..7, 8..10, 11..13, 14..16, 17..19].map(number);
        let [Some(year), Some(month), Some(day), Some(hour), Some(minute), Some(second)] = parts else {
            return Err(bad());
        };
        let days = days(year, month, day);
        if civil(days) != (year, month, day) || hour > 23 || minute > 59 || second > 59 {
            return Err(bad());
        }
        let frac = fraction.trim_end_matches('0');
        let ms = format!("{frac:0<3}").get(..3).and_then(|d| d.parse::<i64>().ok()).ok_or_else(bad)?;
        let minutes = zone_minutes(zone).ok_or_else(bad)?;
        let unix = ((days * 24 + hour) * 60 + minute - minutes) * 60 + second;
        let dot = if frac.is_empty() { "" } else { "." };
        let zone = if minutes == 0 { "Z" } else { zone };
        let text = format!("{whole}{dot}{frac}{zone}");
        let unix_ms = (text != UNSET).then_some(unix * 1000 + ms);
        Ok(Self { text, unix_ms })
    }
}

/// Date and time, digits of the fraction, zone.
fn split_time(text: &str) -> Option<(&str, &str, &str)> {
    let (whole, rest) = text.split_at_checked(19)?;
    let Some(rest) = rest.strip_prefix('.') else { return Some((whole, "", rest)) };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (fraction, zone) = rest.split_at(digits);
    (!fraction.is_empty()).then_some((whole, fraction, zone))
}

fn zone_minutes(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let two =
        |s: &str| (s.len() == 2 && s.bytes().all(|b| b.is_ascii_digit())).then(|| s.parse::<i64>().ok())?;
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

/// Days since 1970-01-01 of a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is their last.
    let y = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    y * 365 + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + day_of_year - 719_468
}

/// Year, month and day of a number of days since 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let mut year = 1970 + days.div_euclid(366).min(days.div_euclid(365));
    while self::days(year + 1, 1, 1) <= days {
        year += 1;
    }
    while self::days(year, 1, 1) > days {
        year -= 1;
    }
    let month = (1..=12).rev().find(|m| self::days(year, *m, 1) <= days).unwrap_or(1);
    (year, month, days - self::days(year, month, 1) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upload_times_keep_their_text_and_have_a_number() {
        let check = |text: &str, want: Option<(&str, Option<i64>)>| {
            let got = UploadTime::try_from(text.to_owned()).ok();
            let got = got.as_ref().map(|t| (t.text.as_str(), t.unix_ms));
            assert_eq!(got, want, "{text}");
        };
        check("0001-01-01T00:00:00Z", Some((UNSET, None)));
        check("1970-01-01T00:00:00Z", Some(("1970-01-01T00:00:00Z", Some(0))));
        check("2024-02-29T12:00:00.1200Z", Some(("2024-02-29T12:00:00.12Z", Some(1_709_208_000_120))));
        check("2024-01-02T03:04:05+02:00", Some(("2024-01-02T03:04:05+02:00", Some(1_704_157_445_000))));
        check("2023-02-29T12:00:00Z", None);
        check("yesterday", None);
        check("2024-01-02T03:04:05", None);
        check("2024-01-02T03:04:05.Z", None);
        for ms in [0, -1, 1_709_208_000_120, 1_704_157_445_000, 253_402_300_799_999] {
            let time = UploadTime::from_unix_ms(ms);
            assert_eq!(UploadTime::try_from(time.text.clone()).expect("own text"), time);
        }
    }
}
