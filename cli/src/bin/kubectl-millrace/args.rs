//! What can be said.

use clap::{Args, Parser, Subcommand};

/// Jobs of Millrace in a cluster.
#[derive(Debug, Parser)]
#[command(name = "kubectl millrace", bin_name = "kubectl millrace", version, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    /// Default: the context's.
    #[arg(long, short, global = true, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,

    /// Of the kubeconfig file. Default: the current one.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Shows how a job is: phase, pods, tasks, lag, watermarks, checkpoints, and what stands against it.
    Status {
        /// Default: all jobs of the namespace, a line each.
        job: Option<String>,
    },
    /// Prints the plan of a job as its object has it now.
    Plan {
        job: String,
        #[arg(long)]
        json: bool,
    },
    /// Makes a savepoint, and waits until it is complete.
    Savepoint(MakeSavepoint),
    /// Shows the logs of a job's workers.
    Logs {
        job: String,
        #[arg(long, short)]
        follow: bool,
        /// Lines of each worker.
        #[arg(long, default_value_t = 20)]
        tail: i64,
    },
    /// Stops a job with a savepoint, until it is resumed.
    Suspend { job: String },
    /// Lets a suspended job run again.
    Resume { job: String },
    /// Starts a job's workers anew, with the state that they have.
    Restart { job: String },
}

#[derive(Debug, Args)]
pub(crate) struct MakeSavepoint {
    pub(crate) job: String,
    /// Of the Savepoint object. Default: the job's, with the time.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Seconds that it may take.
    #[arg(long, default_value_t = 300)]
    pub(crate) timeout: u64,
}
