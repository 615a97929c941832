//! The plan of a job's statements, by this version of the planner.

use super::cluster::{Access, PluginError};
use millrace_planner::{PlanOptions, plan_script};

pub(crate) async fn show(access: &Access, name: &str, as_json: bool) -> Result<(), PluginError> {
    let spec = access.job(name).await?.spec;
    let sql = match (spec.sql, spec.config_map_ref) {
        (Some(sql), _) => sql,
        (None, Some(reference)) => {
            let map = access.config_maps().get(&reference.name).await?;
            let sql = map.data.and_then(|mut data| data.remove(&reference.key));
            let (name, key) = (&reference.name, &reference.key);
            sql.ok_or_else(|| PluginError::Said(format!("the ConfigMap {name} has no key {key}")))?
        }
        (None, None) => return Err(PluginError::Said(format!("{name} has no SQL"))),
    };
    let planned = plan_script(&sql, &PlanOptions::default()).map_err(|error| {
        let place = error.span.map_or(String::new(), |span| format!("line {}, column {}: ", span.line, span.column));
        PluginError::Said(format!("{place}{}", error.message))
    })?;
    match as_json {
        true => println!("{}", serde_json::to_string_pretty(&planned.plan).expect("a plan is plain data")),
        false => println!("{}", planned.plan.explain().trim_end()),
    }
    Ok(())
}
