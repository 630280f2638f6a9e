//! Sealed bytes on the disk.
//!
//! | name in `files/` | what |
//! | --- | --- |
//! | root, base32 | a whole file: all sealed groups, then its outline |
//! | root and `.part` | one that is being fetched: the same, with holes |
//! | `add-…` | one that is being sealed; left over when that was interrupted |
//!
//! 1. A whole file gets its name by a rename after everything is on the disk, so a name without an ending
//!    is a promise. What rots afterwards is found when it is read: every group is compared with the outline.
//! 2. **What a `.part` holds is found by hashing it**, never by believing a list: groups that are not there
//!    read as zeros and have another hash. So an interruption at any point costs no group that was written.
//! 3. The bytes are sealed by the file's own key, which only its manifest holds: nothing here is readable
//!    without the store.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lanai_crdt::file::{
    ChainingValue, FileError, FileKey, GROUP_TEXT_BYTES, Layout, chaining_value,
    outline_from_bytes, root_of,
};
use lanai_crdt::id::{FileRoot, base32, from_base32};

use crate::home::Home;
use crate::random::random_bytes;

const PART: &str = ".part";
const ADDING: &str = "add-";
const OWNER_ONLY: u32 = 0o600;
const PRIVATE_DIR: u32 = 0o700;
/// Bytes of a block as `stat` counts them.
const BLOCK_BYTES: u64 = 512;

/// Why bytes could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// What the operating system says.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// What is to be added is no ordinary file.
    #[error("{} is not an ordinary file", .0.display())]
    NotAFile(PathBuf),
    /// It became longer or shorter while it was read.
    #[error("{} changed while it was read", .0.display())]
    Changed(PathBuf),
    /// Too large, or not sealed as its manifest says.
    #[error(transparent)]
    File(#[from] FileError),
    /// The bytes on the disk are not those that were put there.
    #[error("the file {0} is damaged on the disk")]
    Damaged(FileRoot),
}

impl BlobError {
    /// Whether the disk has no room.
    pub fn is_full(&self) -> bool {
        let Self::Io { source, .. } = self else { return false };
        matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> BlobError + '_ {
    move |source| BlobError::Io { path: path.to_path_buf(), source }
}

/// What lies in the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobInfo {
    /// Which file.
    pub root: FileRoot,
    /// Whether all of it is here.
    pub whole: bool,
    /// Bytes that it takes on the disk.
    pub disk_bytes: u64,
}

/// The directory of sealed bytes.
#[derive(Debug, Clone)]
pub struct Blobs {
    dir: PathBuf,
}

impl Blobs {
    /// That of a home.
    pub fn of_home(home: &Home) -> Blobs {
        Blobs { dir: home.files() }
    }

    fn whole_path(&self, root: &FileRoot) -> PathBuf {
        self.dir.join(root.full())
    }

    fn part_path(&self, root: &FileRoot) -> PathBuf {
        self.dir.join(format!("{}{PART}", root.full()))
    }

    fn make_dir(&self) -> Result<(), BlobError> {
        let made = DirBuilder::new().recursive(true).mode(PRIVATE_DIR).create(&self.dir);
        made.map_err(failed(&self.dir))
    }

    fn sync_dir(&self) -> Result<(), BlobError> {
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(failed(&self.dir))
    }

    /// Seals a file and keeps it. `progress` is told how many bytes are done.
    ///
    /// # Errors
    ///
    /// [`BlobError`]. Nothing is left behind then.
    pub fn add(
        &self,
        source: &Path,
        key: &[u8; 32],
        progress: impl FnMut(u64),
    ) -> Result<(FileRoot, Layout), BlobError> {
        // Not followed by a wait: a pipe without a writer would hang.
        let meta = std::fs::metadata(source).map_err(failed(source))?;
        if !meta.is_file() {
            return Err(BlobError::NotAFile(source.to_path_buf()));
        }
        let mut file = File::open(source).map_err(failed(source))?;
        let layout = Layout::of(file.metadata().map_err(failed(source))?.len())?;
        self.make_dir()?;
        let temporary = Temporary::new(self.dir.join(format!("{ADDING}{}", new_name())))?;
        let outline = temporary.seal(source, &mut file, &layout, key, progress)?;
        let root = root_of(&layout, &outline).ok_or(FileError::TooLarge(layout.bytes()))?;
        temporary.rename(&self.whole_path(&root))?;
        self.sync_dir()?;
        Ok((root, layout))
    }

    /// Whether all of a file is here.
    pub fn has(&self, root: &FileRoot) -> bool {
        self.whole_path(root).is_file()
    }

    /// A file that is here, its outline checked; `None` where it is not.
    ///
    /// # Errors
    ///
    /// [`BlobError::Damaged`], [`BlobError::Io`].
    pub fn open(&self, root: &FileRoot, layout: Layout) -> Result<Option<Blob>, BlobError> {
        let path = self.whole_path(root);
        let file = match File::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(failed(&path))?,
        };
        let outline = read_outline(&file, &path, root, &layout)?;
        let outline = outline.ok_or(BlobError::Damaged(*root))?;
        Ok(Some(Blob { file, path, root: *root, layout, outline }))
    }

    /// What an earlier fetch left of a file, and which groups of it are here. One whose outline is not
    /// that of the file is no help, and left alone: another manifest may name the same root.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`].
    pub fn resume(
        &self,
        root: &FileRoot,
        layout: Layout,
    ) -> Result<Option<(PartialBlob, Vec<bool>)>, BlobError> {
        let path = self.part_path(root);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(failed(&path))?,
        };
        let Some(outline) = read_outline(&file, &path, root, &layout)? else { return Ok(None) };
        let mut here = Vec::with_capacity(outline.len());
        for (group, value) in (0..).zip(&outline) {
            let sealed = read_group(&file, &layout, group).map_err(failed(&path))?;
            here.push(chaining_value(&layout, group, &sealed) == Some(*value));
        }
        Ok(Some((PartialBlob { file, path, root: *root, layout, outline }, here)))
    }

    /// Makes the place for a file that is to be fetched. The caller has checked that the outline gives
    /// the root.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`].
    pub fn begin(
        &self,
        root: &FileRoot,
        layout: Layout,
        outline: Vec<ChainingValue>,
    ) -> Result<PartialBlob, BlobError> {
        self.make_dir()?;
        let path = self.part_path(root);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(OWNER_ONLY);
        let file = options.open(&path).map_err(failed(&path))?;
        file.write_all_at(outline.as_flattened(), layout.sealed_bytes()).map_err(failed(&path))?;
        Ok(PartialBlob { file, path, root: *root, layout, outline })
    }

    /// Removes all there is of a file; whether there was something.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`].
    pub fn remove(&self, root: &FileRoot) -> Result<bool, BlobError> {
        let whole = remove(&self.whole_path(root))?;
        let part = remove(&self.part_path(root))?;
        Ok(whole | part)
    }

    /// Removes what interrupted additions left, if it is older than `age`.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`].
    pub fn sweep(&self, age: Duration) -> Result<(), BlobError> {
        let entries = match std::fs::read_dir(&self.dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(failed(&self.dir))?,
        };
        for entry in entries {
            let entry = entry.map_err(failed(&self.dir))?;
            let ours = entry.file_name().to_string_lossy().starts_with(ADDING);
            let modified = entry.metadata().and_then(|meta| meta.modified());
            let old = modified.is_ok_and(|at| at.elapsed().is_ok_and(|since| since >= age));
            if ours && old {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Everything in the directory, whatever the store knows of it. Names that are not ours are left out.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`].
    pub fn list(&self) -> Result<Vec<BlobInfo>, BlobError> {
        let mut all = Vec::new();
        let entries = match std::fs::read_dir(&self.dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(all),
            entries => entries.map_err(failed(&self.dir))?,
        };
        for entry in entries {
            let entry = entry.map_err(failed(&self.dir))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let (root, whole) = match name.strip_suffix(PART) {
                Some(root) => (root, false),
                None => (&*name, true),
            };
            let root = from_base32(root).and_then(|bytes| FileRoot::from_slice(&bytes));
            let Some(root) = root else { continue };
            // It may just have been removed.
            let Ok(meta) = entry.metadata() else { continue };
            all.push(BlobInfo { root, whole, disk_bytes: meta.blocks() * BLOCK_BYTES });
        }
        all.sort_by_key(|info| (info.root, !info.whole));
        Ok(all)
    }
}

fn new_name() -> String {
    base32(&random_bytes::<8>())
}

fn remove(path: &Path) -> Result<bool, BlobError> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(failed(path)(e)),
    }
}

/// The outline behind the groups, where it gives the root.
fn read_outline(
    file: &File,
    path: &Path,
    root: &FileRoot,
    layout: &Layout,
) -> Result<Option<Vec<ChainingValue>>, BlobError> {
    let length = file.metadata().map_err(failed(path))?.len();
    if length != layout.sealed_bytes() + layout.outline_bytes() {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::try_from(layout.outline_bytes()).unwrap_or(0)];
    file.read_exact_at(&mut bytes, layout.sealed_bytes()).map_err(failed(path))?;
    Ok(outline_from_bytes(&bytes).filter(|outline| root_of(layout, outline) == Some(*root)))
}

fn read_group(file: &File, layout: &Layout, group: u32) -> io::Result<Vec<u8>> {
    let mut sealed = vec![0; layout.sealed_len(group).unwrap_or(0)];
    file.read_exact_at(&mut sealed, layout.offset(group))?;
    Ok(sealed)
}

/// A file that is wholly here.
#[derive(Debug)]
pub struct Blob {
    file: File,
    path: PathBuf,
    root: FileRoot,
    layout: Layout,
    outline: Vec<ChainingValue>,
}

impl Blob {
    /// How it lies in groups.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Its outline.
    pub fn outline(&self) -> &[ChainingValue] {
        &self.outline
    }

    /// A sealed group, compared with the outline.
    ///
    /// # Errors
    ///
    /// [`BlobError::Damaged`], [`BlobError::Io`].
    pub fn sealed(&self, group: u32) -> Result<Vec<u8>, BlobError> {
        let sealed = read_group(&self.file, &self.layout, group).map_err(failed(&self.path))?;
        let wanted = self.outline.get(usize::try_from(group).unwrap_or(usize::MAX));
        match chaining_value(&self.layout, group, &sealed) {
            Some(value) if Some(&value) == wanted => Ok(sealed),
            _ => Err(BlobError::Damaged(self.root)),
        }
    }

    /// What a group holds, opened.
    ///
    /// # Errors
    ///
    /// As for [`sealed`](Self::sealed), and [`FileError::NotAuthentic`] where its author sealed it
    /// otherwise than the manifest says.
    pub fn text(&self, key: &FileKey, group: u32) -> Result<Vec<u8>, BlobError> {
        Ok(key.open(&self.layout, group, &self.sealed(group)?)?)
    }
}

/// A file of which some groups are here.
#[derive(Debug)]
pub struct PartialBlob {
    file: File,
    path: PathBuf,
    root: FileRoot,
    layout: Layout,
    outline: Vec<ChainingValue>,
}

impl PartialBlob {
    /// Its outline.
    pub fn outline(&self) -> &[ChainingValue] {
        &self.outline
    }

    /// Writes a group that was found to fit its value.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`].
    pub fn write(&self, group: u32, sealed: &[u8]) -> Result<(), BlobError> {
        self.file.write_all_at(sealed, self.layout.offset(group)).map_err(failed(&self.path))
    }

    /// Brings what was written to the disk.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`].
    pub fn sync(&self) -> Result<(), BlobError> {
        self.file.sync_data().map_err(failed(&self.path))
    }

    /// Gives it its name. The caller knows that every group is written.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`].
    pub fn finish(self, blobs: &Blobs) -> Result<(), BlobError> {
        self.file.sync_all().map_err(failed(&self.path))?;
        std::fs::rename(&self.path, blobs.whole_path(&self.root)).map_err(failed(&self.path))?;
        blobs.sync_dir()
    }
}

/// A file under a name of its own until it is finished; gone if it never is.
struct Temporary {
    file: File,
    path: PathBuf,
    kept: bool,
}

impl Temporary {
    fn new(path: PathBuf) -> Result<Temporary, BlobError> {
        let made = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(&path);
        let file = made.map_err(failed(&path))?;
        Ok(Temporary { file, path, kept: false })
    }

    fn seal(
        &self,
        source: &Path,
        from: &mut File,
        layout: &Layout,
        key: &[u8; 32],
        mut progress: impl FnMut(u64),
    ) -> Result<Vec<ChainingValue>, BlobError> {
        let key = FileKey::from_bytes(key);
        let changed = || BlobError::Changed(source.to_path_buf());
        let mut outline = Vec::new();
        let mut text = vec![0; GROUP_TEXT_BYTES];
        let mut done = 0;
        for group in 0..layout.groups() {
            let length = layout.text_len(group).unwrap_or(0);
            let part = text.get_mut(..length).unwrap_or_default();
            match from.read_exact(part) {
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Err(changed()),
                read => read.map_err(failed(source))?,
            }
            let sealed = key.seal(layout, group, part)?;
            outline.extend(chaining_value(layout, group, &sealed));
            (&self.file).write_all(&sealed).map_err(failed(&self.path))?;
            done += length as u64;
            progress(done);
        }
        if from.read(&mut [0; 1]).map_err(failed(source))? != 0 {
            return Err(changed());
        }
        (&self.file).write_all(outline.as_flattened()).map_err(failed(&self.path))?;
        self.file.sync_all().map_err(failed(&self.path))?;
        Ok(outline)
    }

    fn rename(mut self, to: &Path) -> Result<(), BlobError> {
        std::fs::rename(&self.path, to).map_err(failed(to))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed is told by `lanai storage`.
            let _gone = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::Environment;

    pub(super) struct Place {
        pub(super) dir: tempfile::TempDir,
        pub(super) blobs: Blobs,
    }

    pub(super) fn place() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::resolve(Some(&dir.path().join("home")), &Environment::default()).unwrap();
        home.create().unwrap();
        Place { blobs: Blobs::of_home(&home), dir }
    }

    fn text(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|n| u8::try_from(n % 253).unwrap()).collect()
    }

    fn whole(blob: &Blob, key: &[u8; 32]) -> Vec<u8> {
        let key = FileKey::from_bytes(key);
        (0..blob.layout().groups()).flat_map(|g| blob.text(&key, g).unwrap()).collect()
    }

    #[test]
    fn a_file_is_sealed_kept_and_read_again() {
        let Place { dir, blobs } = place();
        for bytes in [0, 10, 200_000] {
            let path = dir.path().join("map.pdf");
            std::fs::write(&path, text(bytes)).unwrap();
            let key = [bytes as u8; 32];
            let mut told = 0;
            let (root, layout) = blobs.add(&path, &key, |done| told = done).unwrap();
            assert_eq!(told, bytes as u64);
            assert!(blobs.has(&root));
            let blob = blobs.open(&root, layout).unwrap().unwrap();
            assert_eq!(whole(&blob, &key), text(bytes));
            let kept = std::fs::read(blobs.whole_path(&root)).unwrap();
            let sealed = &kept[..usize::try_from(layout.sealed_bytes()).unwrap()];
            assert_eq!(blake3::hash(sealed).as_bytes(), root.as_bytes());
            let other = Layout::of(bytes as u64 + 1).unwrap();
            assert!(matches!(blobs.open(&root, other), Err(BlobError::Damaged(_))));
            assert!(blobs.remove(&root).unwrap());
            assert!(blobs.open(&root, layout).unwrap().is_none());
        }
        assert!(blobs.list().unwrap().is_empty());
        assert_eq!(std::fs::read_dir(&blobs.dir).unwrap().count(), 0, "something was left behind");
    }

    #[test]
    fn what_an_interrupted_addition_left_goes_in_time() {
        let Place { dir, blobs } = place();
        blobs.sweep(Duration::ZERO).unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, text(10)).unwrap();
        let (root, _) = blobs.add(&path, &[3; 32], |_| ()).unwrap();
        let left = blobs.dir.join(format!("{ADDING}x"));
        std::fs::write(&left, "half").unwrap();
        blobs.sweep(Duration::from_secs(3600)).unwrap();
        assert!(left.exists());
        blobs.sweep(Duration::ZERO).unwrap();
        assert!(!left.exists() && blobs.has(&root));
    }

    #[test]
    fn what_is_no_file_is_not_added() {
        let Place { dir, blobs } = place();
        assert!(matches!(blobs.add(dir.path(), &[1; 32], |_| ()), Err(BlobError::NotAFile(_))));
        let none = dir.path().join("none");
        assert!(matches!(blobs.add(&none, &[1; 32], |_| ()), Err(BlobError::Io { .. })));
    }

    #[test]
    fn what_came_is_found_by_its_hash_wherever_it_was_interrupted() {
        let Place { dir, blobs } = place();
        let path = dir.path().join("a");
        std::fs::write(&path, text(300_000)).unwrap();
        let (root, layout) = blobs.add(&path, &[3; 32], |_| ()).unwrap();
        let blob = blobs.open(&root, layout).unwrap().unwrap();
        let groups: Vec<Vec<u8>> = (0..layout.groups()).map(|g| blob.sealed(g).unwrap()).collect();
        let outline = blob.outline().to_vec();
        blobs.remove(&root).unwrap();

        assert!(blobs.resume(&root, layout).unwrap().is_none());
        let part = blobs.begin(&root, layout, outline.clone()).unwrap();
        part.write(1, &groups[1]).unwrap();
        part.write(3, &groups[3]).unwrap();
        // A group that was written in half.
        part.write(2, &groups[2][..1000]).unwrap();
        drop(part);
        let (part, here) = blobs.resume(&root, layout).unwrap().unwrap();
        assert_eq!(here, [false, true, false, true, false]);
        assert!(!blobs.has(&root));
        for group in [0, 2, 4] {
            part.write(group, &groups[group as usize]).unwrap();
        }
        part.sync().unwrap();
        part.finish(&blobs).unwrap();
        let blob = blobs.open(&root, layout).unwrap().unwrap();
        assert_eq!(whole(&blob, &[3; 32]), text(300_000));
        assert!(blobs.resume(&root, layout).unwrap().is_none());

        // An outline that is not that of the file is of no use.
        let mut bad = outline;
        bad[0][0] ^= 1;
        drop(blobs.begin(&root, layout, bad).unwrap());
        assert!(blobs.resume(&root, layout).unwrap().is_none());
        assert!(blobs.resume(&root, Layout::of(9).unwrap()).unwrap().is_none());
        assert_eq!(
            blobs.list().unwrap().iter().map(|i| i.whole).collect::<Vec<_>>(),
            [true, false]
        );
    }

    #[test]
    fn what_rots_is_found_when_it_is_read() {
        let Place { dir, blobs } = place();
        let path = dir.path().join("a");
        std::fs::write(&path, text(200_000)).unwrap();
        let (root, layout) = blobs.add(&path, &[3; 32], |_| ()).unwrap();
        let file = OpenOptions::new().write(true).open(blobs.whole_path(&root)).unwrap();
        file.write_all_at(b"rot", 70_000).unwrap();
        let blob = blobs.open(&root, layout).unwrap().unwrap();
        assert!(blob.sealed(0).is_ok());
        assert!(matches!(blob.sealed(1), Err(BlobError::Damaged(_))));
        file.write_all_at(b"rot", layout.sealed_bytes()).unwrap();
        assert!(matches!(blobs.open(&root, layout), Err(BlobError::Damaged(_))));
        file.set_len(10).unwrap();
        assert!(matches!(blobs.open(&root, layout), Err(BlobError::Damaged(_))));
    }
}
