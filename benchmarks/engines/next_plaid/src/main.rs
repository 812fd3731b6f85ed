//! Measures an index of NextPlaid, as `measuring.py` does those of the other engines: the same steps in the same order,
//! and the same line of JSON.

use std::collections::HashSet;
use std::error::Error;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use half::f16;
use ndarray::{s, Array2};
use next_plaid::{IndexConfig, MmapIndex, SearchParameters, UpdateConfig};
use serde_json::{json, Value};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const VERSION: &str = "1.8.5"; // the one that Cargo.toml asks for
const TOP_K: usize = 10;
const WARM_UP: usize = 5;
const PROBES: usize = 20;
const PROBE_TOKENS: usize = 32;

/// The numbers of a one-dimensional or two-dimensional .npy file in C order, each of `width` bytes.
fn numbers<T>(
    file: &Path,
    kind: &str,
    width: usize,
    read: impl Fn(&[u8]) -> T,
) -> Result<(Vec<T>, usize)> {
    let bytes = fs::read(file)?;
    if &bytes[..7] != b"\x93NUMPY\x01" {
        return Err(format!("{} is no .npy file of version 1", file.display()).into());
    }
    let start = 10 + u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
    let header = std::str::from_utf8(&bytes[10..start])?;
    if !header.contains(&format!("'descr': '{kind}'")) || !header.contains("'fortran_order': False")
    {
        return Err(format!("{} is not of {kind} in C order: {header}", file.display()).into());
    }
    let shape = header.split(['(', ')']).nth(1).unwrap_or_default();
    let columns = shape
        .split(',')
        .nth(1)
        .and_then(|own| own.trim().parse().ok())
        .unwrap_or(1);
    Ok((
        bytes[start..].chunks_exact(width).map(read).collect(),
        columns,
    ))
}

/// The token vectors of each text that was written under a name.
fn read_vectors(folder: &Path, name: &str) -> Result<Vec<Array2<f32>>> {
    let half = |bytes: &[u8]| f16::from_le_bytes([bytes[0], bytes[1]]).to_f32();
    let (flat, dimension) = numbers(&folder.join(format!("{name}.npy")), "<f2", 2, half)?;
    let whole = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().expect("eight bytes")) as usize;
    let (lengths, _) = numbers(&folder.join(format!("{name}.lengths.npy")), "<i8", 8, whole)?;
    let mut start = 0;
    let mut found = Vec::with_capacity(lengths.len());
    for length in lengths {
        let end = start + length * dimension;
        found.push(Array2::from_shape_vec(
            (length, dimension),
            flat[start..end].to_vec(),
        )?);
        start = end;
    }
    Ok(found)
}

/// Bytes that the files of a folder take of the disk.
fn size_of(folder: &Path) -> Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        total += if about.is_dir() {
            size_of(&entry.path())?
        } else {
            about.blocks() * 512
        };
    }
    Ok(total)
}

/// The ways in which an index is asked.
fn searches() -> Vec<(&'static str, SearchParameters)> {
    let of = |n_ivf_probe, n_full_scores| SearchParameters {
        top_k: TOP_K,
        n_ivf_probe,
        n_full_scores,
        ..Default::default()
    };
    vec![
        (
            "default: probe 8, 4,096 scored",
            SearchParameters {
                top_k: TOP_K,
                ..Default::default()
            },
        ),
        ("probe 8, 256 scored", of(8, 256)),
        ("probe 8, 1,024 scored", of(8, 1024)),
        ("probe 32, 8,192 scored", of(32, 8192)),
        (
            "probe 32, 8,192 scored, no centroid threshold",
            SearchParameters {
                centroid_score_threshold: None,
                ..of(32, 8192)
            },
        ),
    ]
}

/// An index that knows passages by their numbers. A deletion moves all later ones up: who uses it keeps count.
struct Index {
    engine: MmapIndex,
    numbers: Vec<usize>,
}

impl Index {
    fn create(passages: &[Array2<f32>], bits: usize, folder: &Path) -> Result<Self> {
        let config = IndexConfig {
            nbits: bits,
            ..Default::default()
        };
        let path = folder.to_str().ok_or("the folder's name is no Unicode")?;
        let engine = MmapIndex::create_with_kmeans(passages, path, &config)?;
        Ok(Self {
            engine,
            numbers: (0..passages.len()).collect(),
        })
    }

    fn add(&mut self, passages: &[Array2<f32>], first: usize) -> Result<()> {
        self.engine.update(passages, &UpdateConfig::default())?;
        self.numbers.extend(first..first + passages.len());
        Ok(())
    }

    fn delete(&mut self, gone: &HashSet<usize>) -> Result<()> {
        let places = self
            .numbers
            .iter()
            .enumerate()
            .filter(|(_, number)| gone.contains(number));
        let places: Vec<i64> = places.map(|(place, _)| place as i64).collect();
        self.engine.delete(&places)?;
        self.engine.reload()?;
        self.numbers.retain(|number| !gone.contains(number));
        Ok(())
    }

    fn search(&self, parameters: &SearchParameters, vectors: &Array2<f32>) -> Result<Vec<usize>> {
        let found = self.engine.search(vectors, parameters, None)?;
        Ok(found
            .passage_ids
            .iter()
            .map(|&place| self.numbers[place as usize])
            .collect())
    }

    fn finds(
        &self,
        parameters: &SearchParameters,
        number: usize,
        vectors: &Array2<f32>,
    ) -> Result<bool> {
        let probe = vectors
            .slice(s![..vectors.nrows().min(PROBE_TOKENS), ..])
            .to_owned();
        Ok(self.search(parameters, &probe)?.contains(&number))
    }
}

/// Asks all questions in one of the ways, one at a time.
fn ask(
    index: &Index,
    name: &str,
    parameters: &SearchParameters,
    sets: &[Vec<Array2<f32>>],
) -> Result<Value> {
    for question in sets[0].iter().take(WARM_UP) {
        index.search(parameters, question)?;
    }
    let mut milliseconds = Vec::new();
    let mut found = Vec::new();
    for (place, questions) in sets.iter().enumerate() {
        let mut answers = Vec::new();
        for question in questions {
            let begun = Instant::now();
            answers.push(index.search(parameters, question)?);
            if place == 0 {
                milliseconds.push(1000.0 * begun.elapsed().as_secs_f64());
            }
        }
        found.push(answers);
    }
    Ok(json!({"search": name, "milliseconds": milliseconds, "found": found}))
}

fn measure(name: &str, bits: usize, source: &Path, folder: &Path) -> Result<Value> {
    let about: Value = serde_json::from_str(&fs::read_to_string(source.join("about.json"))?)?;
    let count = about["sets"]
        .as_array()
        .ok_or("about.json names no sets")?
        .len();
    let gone = about["deleted"]
        .as_array()
        .ok_or("about.json names nothing to delete")?;
    let gone: Vec<usize> = gone
        .iter()
        .filter_map(Value::as_u64)
        .map(|number| number as usize)
        .collect();
    let passages = read_vectors(source, "passages")?;
    let more = read_vectors(source, "more")?;
    let first = read_vectors(source, "questions-0")?;
    let ways = searches();
    let (_, last) = ways.last().ok_or("there is no way to ask")?;

    let begun = Instant::now();
    let mut index = Index::create(&passages, bits, folder)?;
    index.search(&ways[0].1, &first[0])?;
    let (built, size) = (begun.elapsed().as_secs_f64(), size_of(folder)?);
    let names = (0..count).map(|place| format!("questions-{place}"));
    let sets = names
        .map(|own| read_vectors(source, &own))
        .collect::<Result<Vec<_>>>()?;
    let asked = ways
        .iter()
        .map(|(own, how)| ask(&index, own, how, &sets))
        .collect::<Result<Vec<_>>>()?;

    let begun = Instant::now();
    index.add(&more, passages.len())?;
    index.finds(last, passages.len(), &more[0])?;
    let added = begun.elapsed().as_secs_f64();
    let mut lost = 0;
    for (place, vectors) in more.iter().take(PROBES).enumerate() {
        lost += usize::from(!index.finds(last, passages.len() + place, vectors)?);
    }
    let begun = Instant::now();
    index.delete(&gone.iter().copied().collect())?;
    index.finds(last, passages.len(), &more[0])?;
    let deleted = begun.elapsed().as_secs_f64();
    let mut left = 0;
    for &number in gone.iter().take(PROBES) {
        left += usize::from(index.finds(last, number, &passages[number])?);
    }
    Ok(json!({
        "index": name, "built": built, "size": size, "added": added, "deleted": deleted, "lost": lost, "left": left,
        "asked": asked,
    }))
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments
        .next()
        .ok_or("say which index: 4 bits or 2 bits")?;
    let source = PathBuf::from(arguments.next().ok_or("say which folder of vectors")?);
    let bits = name.split(' ').next().unwrap_or_default().parse()?;
    let beside = source
        .parent()
        .ok_or("the folder of vectors is in no folder")?;
    let folder = beside.join(format!("next-plaid-{}", std::process::id()));
    fs::create_dir(&folder)?;
    let row = measure(
        &format!("NextPlaid {VERSION}, {name}"),
        bits,
        &source,
        &folder,
    );
    fs::remove_dir_all(&folder)?;
    println!("{}", row?);
    Ok(())
}
