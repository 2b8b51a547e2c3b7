//! Project pages in JSON (PEP 691, 700, 714).

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use pep508_rs::PackageName;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::page::{Link, MAX_FILES};

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    meta: Meta,
    name: Option<String>,
    #[serde(deserialize_with = "few")]
    files: Vec<File>,
}

#[derive(Deserialize, Default)]
struct Meta {
    #[serde(rename = "api-version")]
    api_version: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: Hashes,
    size: Option<u64>,
    requires_python: Option<String>,
    #[serde(default)]
    yanked: Flag<String>,
    core_metadata: Option<Flag<Hashes>>,
    dist_info_metadata: Option<Flag<Hashes>>,
}

#[derive(Deserialize, Default)]
struct Hashes {
    sha256: Option<String>,
}

/// A yes, a no, or a yes that says more.
enum Flag<T> {
    Is(bool),
    With(T),
    Other,
}

impl<T> Default for Flag<T> {
    fn default() -> Self {
        Self::Is(false)
    }
}

/// What a yes can say more.
trait More: Sized {
    /// As text; nothing where it has no such form.
    fn text(text: &str) -> Option<Self>;

    /// As an object; nothing where it has no such form.
    fn map<'de, A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error>;
}

impl More for String {
    fn text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn map<'de, A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        IgnoredAny.visit_map(map).map(|_| None)
    }
}

impl More for Hashes {
    fn text(_: &str) -> Option<Self> {
        None
    }

    fn map<'de, A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        Self::deserialize(MapAccessDeserializer::new(map)).map(Some)
    }
}

/// By hand: serde would keep all of whatever stands there in memory, to try one form after the other.
impl<'de, T: More> Deserialize<'de> for Flag<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms<T>(PhantomData<T>);
        impl<'de, T: More> Visitor<'de> for Forms<T> {
            type Value = Flag<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, or more than that")
            }

            fn visit_bool<E>(self, is: bool) -> Result<Flag<T>, E> {
                Ok(Flag::Is(is))
            }

            fn visit_str<E>(self, text: &str) -> Result<Flag<T>, E> {
                Ok(T::text(text).map_or(Flag::Other, Flag::With))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Flag<T>, A::Error> {
                Ok(T::map(map)?.map_or(Flag::Other, Flag::With))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Flag<T>, A::Error> {
                IgnoredAny.visit_seq(seq).map(|_| Flag::Other)
            }

            fn visit_unit<E>(self) -> Result<Flag<T>, E> {
                Ok(Flag::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Flag<T>, E> {
                Ok(Flag::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Flag<T>, E> {
                Ok(Flag::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Flag<T>, E> {
                Ok(Flag::Other)
            }
        }
        deserializer.deserialize_any(Forms(PhantomData))
    }
}

/// The links of the page of `name`.
pub(super) fn links(page: &[u8], name: &PackageName) -> Result<Vec<Link>, String> {
    let page: Page = serde_json::from_slice(page).map_err(|error| error.to_string())?;
    check_version(page.meta.api_version.as_deref())?;
    if page.name.is_some_and(|found| PackageName::from_str(&found).as_ref() != Ok(name)) {
        return Err("it is the page of another project".to_owned());
    }
    Ok(page.files.into_iter().map(link).collect())
}

/// Refuses an API of another major version than 1, as the standard asks.
pub(super) fn check_version(version: Option<&str>) -> Result<(), String> {
    match version.map(|version| version.split('.').next().unwrap_or_default().trim()) {
        None | Some("1") => Ok(()),
        Some(_) => Err("only version 1 of the API is known".to_owned()),
    }
}

fn link(file: File) -> Link {
    let metadata = match file.core_metadata.or(file.dist_info_metadata) {
        Some(Flag::Is(true)) => Some(None),
        Some(Flag::With(hashes)) => Some(hashes.sha256),
        Some(Flag::Is(false) | Flag::Other) | None => None,
    };
    let yanked = match file.yanked {
        Flag::Is(false) | Flag::Other => None,
        Flag::Is(true) => Some(String::new()),
        Flag::With(reason) => Some(reason),
    };
    Link {
        filename: file.filename,
        url: file.url,
        sha256: file.hashes.sha256,
        size_bytes: file.size,
        requires_python: file.requires_python,
        yanked,
        metadata,
    }
}

/// A list that is refused as soon as it is too long.
fn few<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<File>, D::Error> {
    struct Few;
    impl<'de> Visitor<'de> for Few {
        type Value = Vec<File>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of files")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut files = Vec::new();
            while let Some(file) = list.next_element()? {
                if files.len() == MAX_FILES {
                    return Err(A::Error::custom(format!("it has more than {MAX_FILES} files")));
                }
                files.push(file);
            }
            Ok(files)
        }
    }
    deserializer.deserialize_seq(Few)
}
