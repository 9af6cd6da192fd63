//! Files that were damaged or made to harm: a typed error, or a graph that does whatever it is asked without a panic or a
//! hang. What it finds then is not asked.

use super::super::FlatGraph;
use super::super::format::{Description, HEADS, LINKED, MAGIC, NEXT_TWINS, SECTIONS, VERSION};
use super::super::levels::level_of;
use super::bed::{Bed, Random};
use super::checkpoint::{PATH, all, bed_of, disk, load, rows, shapes};
use crate::disk::{Disk, Mapping, RealDisk, SectionsFile, SectionsWriter};
use crate::error::ErrorKind;
use crate::graph::{Graph, Walk};
use crate::ids::Slot;

const SEED: u64 = 61;
const MAPPINGS: [Mapping; 2] = [Mapping::Private, Mapping::Copy];

/// What a file of links says, to be changed and written with right checksums.
struct Forgery {
    description: Description,
    sections: Vec<Vec<u32>>,
}

impl Forgery {
    fn of(disk: &RealDisk) -> Self {
        let file = SectionsFile::open(disk, PATH, MAGIC, VERSION, Mapping::Shared, None).unwrap();
        let cells = |i| {
            let bytes = &file.map().bytes()[file.section(i)];
            bytes.chunks_exact(4).map(|c| u32::from_le_bytes(c.try_into().unwrap())).collect()
        };
        Self {
            description: serde_json::from_slice(file.description()).unwrap(),
            sections: (0..file.sections()).map(cells).collect(),
        }
    }

    fn write(&self, disk: &RealDisk) {
        let _ = disk.remove(PATH);
        let description = serde_json::to_vec(&self.description).unwrap();
        let mut file =
            SectionsWriter::create(disk, PATH, MAGIC, VERSION, self.sections.len(), description.len())
                .unwrap();
        for section in &self.sections {
            file.begin().unwrap();
            let bytes: Vec<u8> = section.iter().flat_map(|cell| cell.to_le_bytes()).collect();
            file.write(&bytes).unwrap();
        }
        file.finish(&description).unwrap();
    }

    /// Changes one thing or many.
    fn spoil(&mut self, random: &mut Random, rows: usize) {
        // Lists most of all: what is wrong with chains is refused.
        let lists = random.below(4) > 0;
        let mut at = random.below(self.sections.len());
        while lists && at % SECTIONS >= NEXT_TWINS {
            at = random.below(self.sections.len());
        }
        let bits = [HEADS, LINKED].contains(&(at % SECTIONS));
        let section = &mut self.sections[at];
        if section.is_empty() {
            return;
        }
        let any = |random: &mut Random| match random.below(4) {
            0 => random.next() as u32,
            1 => 0,
            _ => !(random.below(2) << 16 | random.below(rows)) as u32,
        };
        match random.below(4) {
            0 => section.iter_mut().for_each(|cell| *cell = any(random)),
            1 => {
                let same = any(random);
                section.fill(same);
            }
            2 => {
                for _ in 0..1 + random.below(30) {
                    let cell = random.below(section.len());
                    section[cell] = any(random);
                }
            }
            _ => {
                for _ in 0..1 + random.below(if bits { 2 } else { 30 }) {
                    let cell = random.below(section.len());
                    section[cell] ^= 1 << random.below(32);
                }
            }
        }
    }
}

/// Everything that can be asked of a graph.
fn use_all(bed: &mut Bed, more: &[Vec<f32>], random: &mut Random) {
    let live = bed.live.clone();
    let search = |bed: &mut Bed| {
        for query in more.iter().step_by(7) {
            for walk in [Walk::All, Walk::InGraph(&live), Walk::FilterFirst(&live)] {
                bed.search(query, 40, walk);
            }
        }
    };
    search(bed);
    let _ = bed.check();
    // Twins of every row, in a graph that may hold any of them anywhere.
    let twins: Vec<Vec<f32>> =
        random.sample(&live, 5).into_iter().map(|s| bed.vectors.get(s).unwrap().to_vec()).collect();
    bed.insert(&twins, 2);
    bed.mend();
    bed.insert(more, 2);
    search(bed);
    let dead = random.sample(&bed.live, 3);
    bed.delete(&dead);
    bed.heal(50);
    bed.mend();
    search(bed);
    let _ = bed.check();
    for slot in bed.live.clone().iter() {
        bed.chain(slot);
    }
}

fn bed(all_rows: &[Vec<f32>]) -> Bed {
    bed_of(all_rows, 360, &[200, 800])
}

#[test]
fn forged_files_harm_nobody() {
    let mut random = Random(SEED);
    let all_rows = rows(&mut random, 440);
    let (_folder, disk) = disk();
    let honest = bed(&all_rows);
    honest.graph.save(&disk, PATH, &all(&honest), &|_| {}).unwrap();
    let (mut accepted, mut refused) = (0, 0);
    for round in 0..160 {
        let _ = disk.remove(PATH);
        honest.graph.save(&disk, PATH, &all(&honest), &|_| {}).unwrap();
        let mut forged = Forgery::of(&disk);
        for _ in 0..1 + round % 4 {
            forged.spoil(&mut random, 200);
        }
        if round % 5 == 0 {
            let entry = Slot((random.below(2) << 16 | random.below(200)) as u32);
            forged.description.entry = Some(entry.0);
            forged.description.level = level_of(entry).0;
        }
        forged.write(&disk);
        let mut bed = bed(&all_rows);
        match load(&bed, &disk, MAPPINGS[round % 2]) {
            Ok(loaded) => {
                accepted += 1;
                bed.graph = loaded.graph;
                let waiting: Vec<Slot> = bed.live.iter().filter(|s| !loaded.linked.contains(*s)).collect();
                bed.link(&waiting, 2);
                use_all(&mut bed, &all_rows[360..], &mut random);
            }
            Err(error) => {
                refused += 1;
                assert_eq!(error.kind(), ErrorKind::Corrupt, "round {round}, seed {SEED}: {error}");
            }
        }
    }
    assert!(accepted > 40 && refused > 20, "seed {SEED}: {accepted} accepted, {refused} refused");
}

#[test]
fn rings_and_forks_of_twins_are_refused() {
    let all_rows = rows(&mut Random(SEED), 440);
    let (_folder, disk) = disk();
    let honest = bed(&all_rows);
    honest.graph.save(&disk, PATH, &all(&honest), &|_| {}).unwrap();
    let in_first = |s: &Slot| honest.chain(*s).first().is_some_and(|twin| twin.0 < 200);
    let node = honest.live.iter().find(in_first).unwrap();
    let twin = honest.chain(node)[0];
    let free: Vec<u32> =
        (0..200).filter(|s| honest.chain(Slot(*s)).is_empty() && *s != twin.0).take(3).collect();
    let head = |f: &mut Forgery, slot: u32| f.sections[HEADS][slot as usize / 32] |= 1 << (slot % 32);
    let next = |f: &mut Forgery, slot: u32, to: u32| {
        f.sections[slot as usize / 65_536 * SECTIONS + NEXT_TWINS][slot as usize % 65_536] = !to;
    };
    type Forge<'a> = &'a dyn Fn(&mut Forgery);
    let forgeries: [(&str, Forge<'_>); 8] = [
        ("back to its head", &|f| next(f, twin.0, node.0)),
        ("to itself", &|f| next(f, twin.0, twin.0)),
        ("a ring without a head", &|f| {
            next(f, free[0], free[1]);
            next(f, free[1], free[0]);
        }),
        ("no head", &|f| next(f, free[0], free[1])),
        ("a fork", &|f| {
            next(f, free[0], twin.0);
            head(f, free[0]);
        }),
        ("a head in a chain", &|f| head(f, twin.0)),
        ("out of range", &|f| next(f, twin.0, 3 << 16)),
        ("a slot that is to be linked", &|f| f.sections[LINKED][twin.0 as usize / 32] ^= 1 << (twin.0 % 32)),
    ];
    for (what, forge) in forgeries {
        let mut forged = Forgery::of(&disk);
        forge(&mut forged);
        let path = disk.read(PATH, 0, 1 << 30).unwrap();
        forged.write(&disk);
        let refused = load(&honest, &disk, Mapping::Private).err().map(|e| e.kind());
        assert_eq!(refused, Some(ErrorKind::Corrupt), "{what}");
        disk.remove(PATH).unwrap();
        disk.create(PATH).unwrap().write_at(0, &path).unwrap();
    }
    assert!(load(&honest, &disk, Mapping::Private).is_ok());
}

#[test]
fn damage_is_refused_or_found_later() {
    let mut random = Random(SEED);
    let all_rows = rows(&mut random, 440);
    let (_folder, disk) = disk();
    let honest = bed(&all_rows);
    let named = honest.graph.save(&disk, PATH, &all(&honest), &|_| {}).unwrap().unwrap();
    let bytes = disk.read(PATH, 0, 1 << 30).unwrap();
    for round in 0..240 {
        let mut broken = bytes.clone();
        let at = random.below(bytes.len());
        let is_cut = round % 4 == 0;
        if is_cut {
            broken.truncate(at);
        } else {
            broken[at] ^= 1 << random.below(8);
        }
        disk.remove(PATH).unwrap();
        disk.create(PATH).unwrap().write_at(0, &broken).unwrap();
        let mapping = MAPPINGS[round % 2];
        match FlatGraph::load(6, 100, &disk, PATH, Some(&named), mapping, &shapes(&honest)) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at}, {mapping:?}: {error}"),
            Ok(loaded) => {
                assert!(!is_cut && mapping == Mapping::Private, "byte {at}, {mapping:?} was not noticed");
                let mut bed = bed(&all_rows);
                bed.graph = loaded.graph;
                use_all(&mut bed, &all_rows[360..], &mut random);
                let file = SectionsFile::open(&disk, PATH, MAGIC, VERSION, Mapping::Shared, None).unwrap();
                let bad = file.check_all(&|_| {});
                assert_eq!(bad, [at as u32 / 65_536], "byte {at}");
            }
        }
    }
}
