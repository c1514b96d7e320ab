using System.CommandLine;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Verbs;
using Sparseland.Reproductions;

namespace Sparseland.Cli.Services;

/// <summary>The options of verbs that run studies in parts: one process per part, results and parts in a folder.</summary>
/// <param name="folder">The default folder of results.</param>
internal sealed class StudyFlags(string folder)
{
    private readonly Option<string> _budget = new("--budget") { Description = "quick: seconds each, shows that it runs; standard: minutes per seed; full: more of everything.", DefaultValueFactory = _ => "standard" };
    private readonly Option<int?> _seeds = new("--seeds") { Description = "Number of seeds (default: what the study asks for, at least 3 with standard)." };
    private readonly Option<int?> _workers = new("--workers") { Description = "Processes at a time (default: one per core)." };
    private readonly Option<string> _out = new("--out") { Description = "Folder of the results; finished parts are kept in its folder 'parts'.", DefaultValueFactory = _ => folder };
    private readonly Option<string?> _dataRoot = SharedOptions.DataRoot();
    private readonly Option<string> _engine = new("--engine") { Description = "local: processes of this machine; slurm: one array job of a cluster whose nodes share the folder of --out.", DefaultValueFactory = _ => "local" };
    private readonly Option<string?> _partition = new("--partition") { Description = "Slurm's partition (default: the cluster's)." };
    private readonly Option<string?> _taskTime = new("--task-time") { Description = "Slurm's limit for one task (30m, 2h); a task that reaches it counts as lost (default: 15m with quick, 2h with standard, 24h with full)." };

    /// <summary>Declares the options.</summary>
    public void AddTo(Command command)
    {
        _budget.AcceptOnlyFromAmong("quick", "standard", "full");
        _engine.AcceptOnlyFromAmong("local", "slurm");
        Option[] options = [_budget, _seeds, _workers, _engine, _partition, _taskTime, _out, _dataRoot];
        foreach (Option option in options) command.Options.Add(option);
    }

    /// <summary>What was asked for.</summary>
    /// <exception cref="VerbException">Options contradict each other or are out of range.</exception>
    public StudyBatch Read(ParseResult arguments, VerbContext context)
    {
        bool slurm = arguments.GetValue(_engine) == "slurm";
        if (!slurm && (arguments.GetValue(_partition) ?? arguments.GetValue(_taskTime)) is not null) throw VerbException.Usage("--partition and --task-time belong to Slurm", "add --engine slurm");
        Budget budget = Enum.Parse<Budget>(arguments.GetValue(_budget)!, ignoreCase: true);
        if (arguments.GetValue(_workers) is { } workers and (< 1 or > 256)) throw VerbException.Usage($"--workers is {workers}", "use 1 to 256");
        // A folder that is named and missing is a mistake; only where none is named do the built-in sets take the place of data.
        if (arguments.GetValue(_dataRoot) is { } root && !Directory.Exists(root)) throw VerbException.Usage($"there is no folder '{root}' for --data-root", "the folder that holds one folder per data set, or leave it out");
        if (arguments.GetValue(_seeds) is < 1 or > 1000) throw VerbException.Usage("--seeds is out of range", "use 1 to 1000");
        return new StudyBatch(context)
        {
            Budget = budget,
            Folder = arguments.GetValue(_out)!,
            DataRoot = arguments.GetValue(_dataRoot),
            SeedCount = arguments.GetValue(_seeds),
            Workers = arguments.GetValue(_workers),
            Slurm = slurm,
            Partition = arguments.GetValue(_partition),
            TaskTime = arguments.GetValue(_taskTime) is { } time ? CommonOptions.ParseDuration(time) : budget switch { Budget.Quick => TimeSpan.FromMinutes(15), Budget.Standard => TimeSpan.FromHours(2), _ => TimeSpan.FromHours(24) },
        };
    }
}
