//! The real index: what it says today is what is understood.

use pymd::config::DEFAULT_INDEX_URL;

use super::*;

fn real(cache: &TempDir) -> Index {
    let url = Url::parse(DEFAULT_INDEX_URL).unwrap();
    Index::new(IndexConfig::new(vec![url], cache.path().to_owned())).unwrap()
}

async fn wheel(index: &Index, name: &str, version: &str) -> DistFile {
    let project = index.project(&package(name)).await.unwrap();
    let filename = format!("{name}-{version}-py3-none-any.whl");
    project.files.iter().find(|file| file.filename == filename).unwrap().clone()
}

#[tokio::test]
async fn a_real_project_and_its_metadata_are_read() {
    let cache = TempDir::new().unwrap();
    let index = real(&cache);
    let file = wheel(&index, "idna", "3.10").await;
    assert_eq!(file.requires_python.as_ref().unwrap().to_string(), ">=3.6");
    let metadata = index.metadata(&file).await.unwrap();
    assert_eq!(metadata.version.to_string(), "3.10");
    assert!(metadata.requires_dist.iter().all(|requirement| requirement.to_string().contains("extra == 'all'")));
    let error = index.project(&package("idna-is-not-the-name-of-this")).await.unwrap_err();
    assert!(matches!(error, IndexError::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn a_real_wheel_is_downloaded() {
    let cache = TempDir::new().unwrap();
    let index = real(&cache);
    let file = wheel(&index, "iniconfig", "2.0.0").await;
    let mut bytes = Vec::new();
    let downloaded = index.download(&file, &mut bytes, &|_, _| {}).await.unwrap();
    assert_eq!(Some(&downloaded.sha256), file.sha256.as_ref());
    assert_eq!(downloaded.sha256, sha256(&bytes));
    assert_eq!(downloaded.size_bytes, bytes.len() as u64);
}
