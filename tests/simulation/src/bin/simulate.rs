//! `simulate`: runs seeds.
fn main() {
    let seed: u64 = std::env::args().nth(1).unwrap().parse().unwrap();
    let n: u64 = std::env::args().nth(2).unwrap_or("1".into()).parse().unwrap();
    let mut table = millrace_simulation::world::Table::default();
    let exe = std::env::current_exe().unwrap().parent().unwrap().join("oracle");
    let mut oracle = millrace_simulation::oracle::Oracle::start(&exe).unwrap();
    for s in seed..seed + n {
        let r = millrace_simulation::world::simulate(s, n == 1);
        table.merge(&r.faults);
        let v = oracle.judge(&r).unwrap();
        if n == 1 || v.is_some() || !r.complaints.is_empty() || r.faults.total() < 20 {
            println!("seed {s}: faults {} events {} in {} out {} verdict {v:?} complaints {:?}", r.faults.total(), r.events,
              r.input.iter().map(Vec::len).sum::<usize>(), r.output.iter().map(Vec::len).sum::<usize>(), r.complaints);
        }
    }
    println!("{}", table.render());
    println!("missing {:?}", table.missing());
}
