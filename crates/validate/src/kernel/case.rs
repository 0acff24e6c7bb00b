//! The language of the recorded cases: machines, cgroups, processes and what their threads do.

use std::fmt;

use thiserror::Error;

/// What is wrong with a file of the suite, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct CaseError {
    /// Name of the file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column of the word, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// A case: machine, knobs, devices, cgroups, processes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Case {
    /// Name of the file without its ending.
    pub name: String,
    /// The guest machine.
    pub guest: GuestLine,
    /// Knobs written before anything else, in order: path and value.
    pub sys: Vec<(String, String)>,
    /// Whether /data exists on a RAM disk, and its readahead in KiB.
    pub fs_ra_kib: Option<u64>,
    /// Synchronous swap of this many MiB.
    pub swap_mib: Option<u64>,
    /// Whether the synchronous swap compresses.
    pub zram: bool,
    /// Emulated disks.
    pub disks: Vec<Disk>,
    /// Distance of samples in ms, if any are taken.
    pub sample_ms: Option<u64>,
    /// Cgroups, parents before children.
    pub cgroups: Vec<Cgroup>,
    /// Processes in their order.
    pub procs: Vec<Proc>,
}

/// The `# guest:` line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuestLine {
    /// Nodes.
    pub nodes: usize,
    /// Memory by node in MiB.
    pub mib: Vec<u64>,
    /// CPUs by node.
    pub cpus: Vec<usize>,
    /// As written; empty for the default of 20.
    pub dist: String,
    /// A guest instruction takes 2^shift ns.
    pub shift: u32,
    /// Whether nodes above 0 are described as slower.
    pub hmat: bool,
}

impl GuestLine {
    /// Distances between the nodes, row by row.
    pub fn distances(&self) -> Vec<Vec<u32>> {
        let plain = self.dist.parse().unwrap_or(20);
        let rows: Vec<Vec<u32>> = self
            .dist
            .split('/')
            .map(|row| row.split(',').filter_map(|d| d.parse().ok()).collect())
            .collect();
        let is_matrix = rows.len() == self.nodes && rows.iter().all(|row| row.len() == self.nodes);
        if is_matrix && self.nodes > 1 {
            return rows;
        }
        let row = |a: usize| (0..self.nodes).map(|b| if a == b { 10 } else { plain }).collect();
        (0..self.nodes).map(row).collect()
    }
}

/// A `nulldisk`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// /dev/NAME.
    pub name: String,
    /// Latency of a request in ns.
    pub latency_ns: u64,
    /// Throughput in MB/s, 0 for no limit.
    pub mbps: u64,
    /// Requests in flight.
    pub depth: u64,
    /// Whether it is swap.
    pub swap: bool,
    /// Whether /data is on it.
    pub fs: bool,
    /// Size in MiB.
    pub mib: u64,
}

/// A cgroup and its limits in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroup {
    /// Path, `a/b` for a child.
    pub name: String,
    /// memory.max.
    pub max: Option<u64>,
    /// memory.high.
    pub high: Option<u64>,
    /// memory.low.
    pub low: u64,
    /// memory.min.
    pub min: u64,
    /// memory.swap.max.
    pub swap_max: Option<u64>,
}

/// A process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Proc {
    /// Its name.
    pub name: String,
    /// Its cgroup, empty for the root.
    pub cgroup: String,
    /// Whether anonymous regions may have huge pages.
    pub thp: bool,
    /// Starts when that process has ended.
    pub after: Option<String>,
    /// Regions.
    pub regions: Vec<Region>,
    /// Threads.
    pub threads: Vec<Thread>,
}

/// What a region holds and how it is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Private anonymous memory.
    #[default]
    Anon,
    /// Mapped tmpfs.
    Shmem,
    /// A mapped file.
    File,
    /// A file by pread and pwrite.
    Io,
}

/// A region of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Pages.
    pub pages: u64,
    /// Of a file; empty for one of its own.
    pub path: String,
    /// Memory policy.
    pub policy: Policy,
}

/// A memory policy; masks have bit n for node n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// The task's.
    #[default]
    Default,
    /// The CPU's node first.
    Local,
    /// That node first.
    Preferred(u32),
    /// Only those nodes.
    Bind(u64),
    /// Round robin over those nodes.
    Interleave(u64),
    /// Those nodes first.
    Many(u64),
    /// Round robin by weights.
    Weighted(u64),
}

/// A thread.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thread {
    /// CPUs it may use; empty for all.
    pub cpus: Vec<usize>,
    /// What it does.
    pub steps: Vec<Step>,
}

/// A step of a thread.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the language's own words")]
pub enum Step {
    Touch(Touch),
    Cpu(Vec<usize>),
    Sleep { ms: u64 },
    Barrier { id: u64, nr: u64 },
    Snap(String),
    Where(String),
    Advise { region: String, advice: String },
    Policy { region: String, policy: Policy },
    Join(String),
    Lock(String),
    Unlock(String),
    Fork { label: String, touch: Touch },
    Names { verb: NameVerb, dir: String, count: u64, first: u64 },
}

/// What is done with names of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameVerb {
    /// Look up names that do not exist.
    Negative,
    /// Create empty files.
    Create,
    /// stat() files.
    Stat,
}

/// A pattern of pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pattern {
    /// In order, around and around.
    #[default]
    Seq,
    /// Uniformly random.
    Uniform,
    /// Zipf with the exponent in quarters.
    Zipf(u8),
    /// Alternately hot at random and a cyclic scan.
    ScanMix,
}

/// A touch step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touch {
    /// The region.
    pub region: String,
    /// Which pages.
    pub pattern: Pattern,
    /// Store or load.
    pub write: bool,
    /// Touches; `None` if a time is given.
    pub count: Option<u64>,
    /// Guest ms to go on for.
    pub ms: u64,
    /// Seed of the generator.
    pub seed: u64,
    /// First page.
    pub first: u64,
    /// Pages, 0 for all from `first`.
    pub span: u64,
    /// Pages of the hot part of `scanmix`.
    pub hot: u64,
    /// Distance of samples, 0 for none.
    pub watch: u64,
    /// Pause after that many touches, in µs.
    pub pace: Option<(u64, u64)>,
}

/// A word and where it stands.
struct Word<'a> {
    text: &'a str,
    line: usize,
    column: usize,
}

struct Cx<'a> {
    file: &'a str,
}

type Parsed<T> = Result<T, CaseError>;

impl Cx<'_> {
    fn fail<T>(&self, word: &Word<'_>, message: impl fmt::Display) -> Parsed<T> {
        let (line, column) = (word.line, word.column);
        Err(CaseError { file: self.file.to_owned(), line, column, message: message.to_string() })
    }

    fn number(&self, word: &Word<'_>, text: &str) -> Parsed<u64> {
        text.parse().or_else(|_| self.fail(word, format_args!("`{text}` is no whole number")))
    }

    fn cpus(&self, word: &Word<'_>, text: &str) -> Parsed<Vec<usize>> {
        let mut cpus = Vec::new();
        if text == "any" {
            return Ok(cpus);
        }
        for part in text.split(',') {
            let (low, high) = part.split_once('-').unwrap_or((part, part));
            let (low, high) = (self.number(word, low)?, self.number(word, high)?);
            if high > 4095 {
                return self.fail(word, "there are no so many CPUs");
            }
            cpus.extend((low..=high).map(|cpu| cpu as usize));
        }
        Ok(cpus)
    }

    fn policy(&self, word: &Word<'_>, text: &str) -> Parsed<Policy> {
        let (kind, arg) = text.split_once(':').unwrap_or((text, "0"));
        let arg = self.number(word, arg)?;
        Ok(match kind {
            "default" => Policy::Default,
            "local" => Policy::Local,
            "preferred" => Policy::Preferred(arg as u32),
            "bind" => Policy::Bind(arg),
            "interleave" => Policy::Interleave(arg),
            "many" => Policy::Many(arg),
            "weighted" => Policy::Weighted(arg),
            _ => return self.fail(word, format_args!("unknown policy `{kind}`")),
        })
    }
}

fn words(line: &str, number: usize) -> Vec<Word<'_>> {
    let start = line.as_ptr() as usize;
    let place = |text: &str| text.as_ptr() as usize - start + 1;
    line.split_whitespace().map(|text| Word { text, line: number, column: place(text) }).collect()
}

/// Arguments of a statement, `key=value` looked up by key.
struct Args<'a, 'b> {
    cx: &'b Cx<'b>,
    words: &'b [Word<'a>],
}

impl<'a> Args<'a, '_> {
    fn at(&self, index: usize, what: &str) -> Parsed<&Word<'a>> {
        match self.words.get(index) {
            Some(word) => Ok(word),
            None => self.cx.fail(&self.words[0], format_args!("{what} is missing")),
        }
    }

    fn find(&self, key: &str) -> Option<(&Word<'a>, &'a str)> {
        self.words.iter().find_map(|word| {
            let (name, value) = word.text.split_once('=')?;
            (name == key).then_some((word, value))
        })
    }

    fn text(&self, key: &str) -> String {
        self.find(key).map_or(String::new(), |(_, value)| value.to_owned())
    }

    fn number(&self, key: &str) -> Parsed<Option<u64>> {
        self.find(key).map(|(word, value)| self.cx.number(word, value)).transpose()
    }

    fn number_or(&self, key: &str, default: u64) -> Parsed<u64> {
        Ok(self.number(key)?.unwrap_or(default))
    }

    fn only(&self, from: usize, keys: &[&str]) -> Parsed<()> {
        for word in self.words.iter().skip(from) {
            let key = word.text.split_once('=').map_or(word.text, |(key, _)| key);
            if !keys.contains(&key) {
                return self.cx.fail(word, format_args!("unknown option `{key}`"));
            }
        }
        Ok(())
    }
}

/// Reads a case.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn parse(name: &str, text: &str) -> Result<Case, CaseError> {
    let file = format!("{name}.case");
    let cx = Cx { file: &file };
    let mut case = Case { name: name.to_owned(), ..Case::default() };
    let mut depth = 0;
    let mut last_line = 0;
    for (index, line) in text.lines().enumerate() {
        last_line = index + 1;
        let trimmed = line.trim_start();
        if let Some(guest) = trimmed.strip_prefix("# guest:") {
            case.guest = guest_line(&cx, &words(guest, index + 1))?;
        }
        let found = words(line, index + 1);
        if found.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let args = Args { cx: &cx, words: &found };
        depth = match depth {
            0 => top(&mut case, &args)?,
            1 => body(&mut case, &args)?,
            _ => thread(&mut case, &args)?,
        };
    }
    let end = Word { text: "", line: last_line, column: 1 };
    if depth != 0 {
        return cx.fail(&end, "`end` is missing");
    }
    if case.guest.nodes == 0 {
        return cx.fail(&end, "there is no `# guest:` line");
    }
    check(&cx, &case, &end)?;
    Ok(case)
}

/// References that must resolve, so that the replay need not ask.
fn check(cx: &Cx<'_>, case: &Case, end: &Word<'_>) -> Parsed<()> {
    for cgroup in &case.cgroups {
        if let Some((parent, _)) = cgroup.name.rsplit_once('/')
            && !case.cgroups.iter().any(|other| other.name == parent)
        {
            return cx.fail(end, format_args!("cgroup `{}` has no parent", cgroup.name));
        }
    }
    let known =
        |name: &str| name.is_empty() || case.cgroups.iter().any(|cgroup| cgroup.name == name);
    for proc in &case.procs {
        if !known(&proc.cgroup) {
            return cx.fail(end, format_args!("there is no cgroup `{}`", proc.cgroup));
        }
        for step in proc.threads.iter().flat_map(|thread| &thread.steps) {
            let region = match step {
                Step::Touch(touch) | Step::Fork { touch, .. } => &touch.region,
                Step::Where(region) | Step::Lock(region) | Step::Unlock(region) => region,
                Step::Advise { region, .. } | Step::Policy { region, .. } => region,
                Step::Join(name) if !known(name) => {
                    return cx.fail(end, format_args!("there is no cgroup `{name}`"));
                }
                _ => continue,
            };
            let Some(found) = proc.regions.iter().find(|other| other.name == *region) else {
                return cx
                    .fail(end, format_args!("process `{}` has no region `{region}`", proc.name));
            };
            if let Step::Touch(touch) | Step::Fork { touch, .. } = step {
                let span = if touch.span == 0 {
                    found.pages.saturating_sub(touch.first)
                } else {
                    touch.span
                };
                let fits = touch.first.checked_add(span).is_some_and(|last| last <= found.pages);
                let hot_fits =
                    touch.pattern != Pattern::ScanMix || (touch.hot > 0 && touch.hot < span);
                if span == 0 || !fits || !hot_fits {
                    return cx.fail(end, format_args!("a touch of `{region}` lies outside of it"));
                }
            }
        }
    }
    Ok(())
}

fn guest_line(cx: &Cx<'_>, found: &[Word<'_>]) -> Parsed<GuestLine> {
    let args = Args { cx, words: found };
    let list = |key: &str| -> Parsed<Vec<u64>> {
        let Some((word, value)) = args.find(key) else { return Ok(Vec::new()) };
        value.split(',').map(|part| cx.number(word, part)).collect()
    };
    let nodes = args.number_or("nodes", 1)?.clamp(1, 64) as usize;
    let spread = |values: Vec<u64>, default: u64| -> Vec<u64> {
        let last = values.last().copied().unwrap_or(default);
        (0..nodes).map(|node| values.get(node).copied().unwrap_or(last)).collect()
    };
    Ok(GuestLine {
        nodes,
        mib: spread(list("mib")?, 512),
        cpus: spread(list("cpus")?, 1).into_iter().map(|cpus| cpus.min(64) as usize).collect(),
        dist: args.text("dist"),
        shift: args.number_or("shift", 2)?.min(20) as u32,
        hmat: args.number_or("hmat", 0)? != 0,
    })
}

fn top(case: &mut Case, args: &Args<'_, '_>) -> Parsed<usize> {
    let word = args.at(0, "a statement")?;
    match word.text {
        "sys" => {
            let value: Vec<&str> = args.words.iter().skip(2).map(|word| word.text).collect();
            case.sys.push((args.at(1, "a path")?.text.to_owned(), value.join(" ")));
        }
        "fs" => case.fs_ra_kib = Some(args.number_or("ra", 0)?),
        "swap" | "zram" => {
            let size = args.at(1, "a size")?;
            case.swap_mib = Some(args.cx.number(size, size.text)?);
            case.zram = word.text == "zram";
        }
        "tmpfs" => {}
        "nulldisk" => case.disks.push(Disk {
            name: args.at(1, "a name")?.text.to_owned(),
            latency_ns: args.number_or("lat", 10_000)?,
            mbps: args.number_or("mbps", 0)?,
            depth: args.number_or("qd", 128)?.max(1),
            swap: args.number_or("swap", 0)? != 0,
            fs: args.number_or("fs", 0)? != 0,
            mib: args.number_or("mib", 0)?,
        }),
        "sample" => {
            let ms = args.at(1, "a distance")?;
            case.sample_ms = Some(args.cx.number(ms, ms.text)?);
        }
        "cgroup" => {
            args.only(2, &["max", "high", "low", "min", "swapmax"])?;
            case.cgroups.push(Cgroup {
                name: args.at(1, "a name")?.text.to_owned(),
                max: args.number("max")?,
                high: args.number("high")?,
                low: args.number_or("low", 0)?,
                min: args.number_or("min", 0)?,
                swap_max: args.number("swapmax")?,
            });
        }
        "proc" => {
            args.only(2, &["cgroup", "thp", "after", "tlbflush"])?;
            case.procs.push(Proc {
                name: args.at(1, "a name")?.text.to_owned(),
                cgroup: args.text("cgroup"),
                thp: args.number_or("thp", 0)? != 0,
                after: args.find("after").map(|(_, name)| name.to_owned()),
                ..Proc::default()
            });
            return Ok(1);
        }
        other => return args.cx.fail(word, format_args!("unknown statement `{other}`")),
    }
    Ok(0)
}

fn body(case: &mut Case, args: &Args<'_, '_>) -> Parsed<usize> {
    let word = args.at(0, "a statement")?;
    let Some(proc) = case.procs.last_mut() else {
        return args.cx.fail(word, "outside of a process");
    };
    match word.text {
        "region" => {
            args.only(2, &["kind", "pages", "path", "policy"])?;
            let name = args.at(1, "a name")?.text.to_owned();
            let kind = match args.text("kind").as_str() {
                "anon" | "" => Kind::Anon,
                "shmem" => Kind::Shmem,
                "file" => Kind::File,
                "io" => Kind::Io,
                other => return args.cx.fail(word, format_args!("unknown kind `{other}`")),
            };
            let pages = args.number_or("pages", 0)?;
            if pages == 0 || pages > 1 << 26 {
                return args.cx.fail(word, "a region has 1 to 2^26 pages");
            }
            let policy =
                args.find("policy").map(|(word, text)| args.cx.policy(word, text)).transpose()?;
            proc.regions.push(Region {
                name,
                kind,
                pages,
                path: args.text("path"),
                policy: policy.unwrap_or_default(),
            });
            Ok(1)
        }
        "thread" => {
            args.only(1, &["cpu"])?;
            let cpus = args.find("cpu").map(|(word, text)| args.cx.cpus(word, text)).transpose()?;
            proc.threads.push(Thread { cpus: cpus.unwrap_or_default(), steps: Vec::new() });
            Ok(2)
        }
        "end" => Ok(0),
        other => args.cx.fail(word, format_args!("unknown statement `{other}`")),
    }
}

fn thread(case: &mut Case, args: &Args<'_, '_>) -> Parsed<usize> {
    let word = args.at(0, "a step")?;
    let second = |what: &str| args.at(1, what).map(|word| word.text.to_owned());
    let number = |index: usize, what: &str| {
        args.at(index, what).and_then(|word| args.cx.number(word, word.text))
    };
    let step = match word.text {
        "end" => return Ok(1),
        "touch" => Step::Touch(touch(args, 1)?),
        "cpu" => Step::Cpu(args.cx.cpus(word, &second("a list of CPUs")?)?),
        "sleep" => Step::Sleep { ms: number(1, "a time")? },
        "barrier" => Step::Barrier { id: number(1, "an id")?, nr: number(2, "a number")? },
        "snap" => Step::Snap(second("a label")?),
        "where" => Step::Where(second("a region")?),
        "advise" => Step::Advise {
            region: second("a region")?,
            advice: args.at(2, "advice")?.text.to_owned(),
        },
        "policy" => {
            let policy = args.at(2, "a policy")?;
            Step::Policy {
                region: second("a region")?,
                policy: args.cx.policy(policy, policy.text)?,
            }
        }
        "join" => Step::Join(second("a cgroup")?),
        "lock" => Step::Lock(second("a region")?),
        "unlock" => Step::Unlock(second("a region")?),
        "fork" => Step::Fork { label: second("a label")?, touch: touch(args, 2)? },
        "negdentry" | "files" | "statfiles" => Step::Names {
            verb: match word.text {
                "negdentry" => NameVerb::Negative,
                "files" => NameVerb::Create,
                _ => NameVerb::Stat,
            },
            dir: second("a directory")?,
            count: args.number_or("count", 1)?,
            first: args.number_or("first", 0)?,
        },
        other => return args.cx.fail(word, format_args!("unknown step `{other}`")),
    };
    match case.procs.last_mut().and_then(|proc| proc.threads.last_mut()) {
        Some(thread) => thread.steps.push(step),
        None => return args.cx.fail(word, "outside of a thread"),
    }
    Ok(2)
}

fn touch(args: &Args<'_, '_>, from: usize) -> Parsed<Touch> {
    let keys =
        ["pat", "op", "count", "ms", "seed", "theta", "first", "span", "hot", "watch", "pace"];
    args.only(from + 1, &keys)?;
    let word = args.at(from, "a region")?;
    let theta = match args.text("theta").as_str() {
        "1" | "" => 4,
        "0.75" => 3,
        "0.5" => 2,
        other => return args.cx.fail(word, format_args!("theta is 0.5, 0.75 or 1, not `{other}`")),
    };
    let pattern = match args.text("pat").as_str() {
        "seq" | "loop" | "" => Pattern::Seq,
        "uniform" => Pattern::Uniform,
        "zipf" => Pattern::Zipf(theta),
        "scanmix" => Pattern::ScanMix,
        other => return args.cx.fail(word, format_args!("unknown pattern `{other}`")),
    };
    let pace = match args.find("pace") {
        Some((word, text)) => match text.split_once(':') {
            Some((nr, us)) => Some((args.cx.number(word, nr)?.max(1), args.cx.number(word, us)?)),
            None => return args.cx.fail(word, "pace is N:US"),
        },
        None => None,
    };
    let (count, ms) = (args.number("count")?, args.number_or("ms", 0)?);
    Ok(Touch {
        region: word.text.to_owned(),
        pattern,
        write: args.text("op") == "w",
        count: if count.is_none() && ms == 0 { Some(1000) } else { count },
        ms,
        seed: args.number_or("seed", 1)?,
        first: args.number_or("first", 0)?,
        span: args.number_or("span", 0)?,
        hot: args.number_or("hot", 0)?,
        watch: args.number_or("watch", 0)?,
        pace,
    })
}
