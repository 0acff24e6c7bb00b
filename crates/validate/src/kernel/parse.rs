//! Reading the language of the cases.

use std::fmt;

use reclaim::guest::Policy;

use super::case::{
    Case, CaseError, Cgroup, Disk, GuestLine, Kind, NameVerb, Pattern, Proc, Region, Step, Thread,
    Touch,
};

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

/// read_ahead_kb of a disk unless something sets it.
const DEFAULT_RA_KIB: u64 = 128;

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
        if let Some(name) = &proc.after
            && !case.procs.iter().any(|other| other.name == *name)
        {
            return cx.fail(end, format_args!("there is no process `{name}`"));
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
            ra_kib: args.number_or("ra", DEFAULT_RA_KIB)?,
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
