using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Sparseland.Bench.Page;
using Sparseland.Bench.Turns;
using Sparseland.Cli.Hosting;

namespace Sparseland.Bench;

/// <summary>Measures committed figures anew, each by the command that its file stores, one after the other in processes of their own.</summary>
internal sealed class MeasureCommand : Verb
{
    private readonly Argument<string[]> _names = new("names") { Description = "Files without .json, whole or their beginnings (default: all).", Arity = ArgumentArity.ZeroOrMore };
    private readonly Option<string?> _results = new("--results") { Description = "The folder of figures, with one for each machine (default: bench/results of this checkout)." };
    private readonly Option<string?> _into = new("--into") { Description = "Where new files go (default: this machine's folder in there, over what it has)." };

    protected override (string Name, string Description) Title => ("measure", "Measure figures of bench/results anew, on this machine, by the commands that they store.");

    protected override bool Resumes => false;

    protected override string Cancelled => "files that were finished before are new, the others are as they were";

    protected override void Declare(Command command)
    {
        command.Arguments.Add(_names);
        command.Options.Add(_results);
        command.Options.Add(_into);
    }

    protected override async Task<int> RunAsync(ParseResult arguments, VerbContext context)
    {
        string folder = arguments.GetValue(_results) ?? Checkout.Results;
        if (arguments.GetValue(_into) is not { } into)
        {
            into = Path.Combine(folder, MachineResults.ThisMachine);
            MachineResults.RefuseOthers(into, MachineInfo.Current.ToJson(), $"name another folder: {_into.Name} FOLDER");
        }
        IReadOnlyList<(string File, JsonObject Document)> chosen = Choose(Known(MachineResults.All(folder), MachineResults.ThisMachine), arguments.GetValue(_names) ?? [], folder);
        if (!context.Settings.DryRun) Directory.CreateDirectory(into);
        var rows = new JsonArray();
        int failed = 0;
        for (int i = 0; i < chosen.Count; i++)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            (string file, JsonObject document) = chosen[i];
            string[] command = ((string)document["command"]!).Split(' ', StringSplitOptions.RemoveEmptyEntries);
            string before = document["seconds"] is { } s ? string.Create(CultureInfo.InvariantCulture, $", took {(double)s:0} s before") : "";
            context.Say($"{i + 1} of {chosen.Count}, {file}{before}: {string.Join(' ', command)}");
            if (context.Settings.DryRun) continue;
            long start = Stopwatch.GetTimestamp();
            // The old file stays until the new one is whole. With --json standard output is for the result alone.
            (int exit, _) = await FigureProcess.RunAsync(null, [.. command, "--out", Path.Combine(into, file)], output: !context.Settings.Json, errors: true, context.Cancellation).ConfigureAwait(false);
            if (exit != ExitCodes.Done)
            {
                failed++;
                context.Warn($"{file} ended with {exit} and is as it was");
            }
            rows.Add(new JsonObject { ["file"] = file, ["exit"] = exit, ["seconds"] = Math.Round(Stopwatch.GetElapsedTime(start).TotalSeconds, 1) });
        }
        context.Result(new JsonObject { ["measured"] = rows });
        if (failed > 0) context.Warn($"{failed} of {chosen.Count} figures were not measured; what they printed above says why");
        return failed > 0 ? ExitCodes.Unexpected : ExitCodes.Done;
    }

    /// <summary>Every file that some machine has, by name: this machine's own, else another's, whose command is as good. Builds in turn are left out: their command needs a build that no file has.</summary>
    internal static IReadOnlyList<(string File, JsonObject Document)> Known(IReadOnlyList<MachineResults> machines, string here) =>
    [
        .. machines.OrderBy(m => m.Id != here).SelectMany(m => m.Results.Documents.Where(d => (string?)d.Document["figure"] != TurnsCommand.FigureName).Select(d => (d.File, d.Document))).DistinctBy(d => d.File).OrderBy(d => d.File, StringComparer.Ordinal),
    ];

    /// <summary>The files that names ask for, in the folder's order.</summary>
    /// <exception cref="VerbException">A name fits no file; the message has what there is.</exception>
    internal static IReadOnlyList<(string File, JsonObject Document)> Choose(IReadOnlyList<(string File, JsonObject Document)> documents, string[] names, string folder)
    {
        if (documents.Count == 0) throw VerbException.Usage($"{folder} has no figures", "give the folder with --results");
        foreach (string name in names)
        {
            if (!documents.Any(d => Fits(d.File, name))) throw VerbException.Usage($"no figure in {folder} begins with '{name}'", $"name one of {string.Join(", ", documents.Select(d => Path.GetFileNameWithoutExtension(d.File)))}");
        }
        return names.Length == 0 ? documents : [.. documents.Where(d => names.Any(n => Fits(d.File, n)))];
    }

    private static bool Fits(string file, string name) => file.StartsWith(name, StringComparison.Ordinal);
}
