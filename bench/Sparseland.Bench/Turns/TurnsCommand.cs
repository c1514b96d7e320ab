using System.CommandLine;
using System.CommandLine.Parsing;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Sparseland.Bench.Figures;
using Sparseland.Bench.Page;
using Sparseland.Cli.Hosting;
using Spectre.Console;

namespace Sparseland.Bench.Turns;

/// <summary>A figure of two builds in turn: what a change of code made faster or slower, on a machine whose speed drifts.</summary>
internal sealed class TurnsCommand : Verb
{
    /// <summary>What its files call themselves.</summary>
    public const string FigureName = "turns";

    private const string Program = "sparseland-bench.dll";

    /// <summary>A median of fewer has no interval.</summary>
    public const int EnoughTurns = 5;

    // A build's own folder in its checkout.
    private static readonly string s_output = Path.Combine("bench", "Sparseland.Bench", "bin", "Release", "net10.0");

    private readonly Option<string> _before = new("--before") { Description = $"The other build: its {Program}, the folder that has it, or a checkout that was built.", Required = true };
    private readonly Option<int> _turns = new("--turns") { Description = "How often each build measures.", DefaultValueFactory = _ => EnoughTurns };
    private readonly Option<string?> _out = new("--out") { Description = "Write the comparison as JSON to this file; a bare name is one in this machine's folder of bench/results." };
    private readonly Argument<string[]> _figure = new("figure") { Description = "The figure and its options, behind --.", Arity = ArgumentArity.OneOrMore };

    protected override (string Name, string Description) Title => (FigureName, "Run a figure by two builds in turn and compare every time of it: turns --before FOLDER -- spmm --densities 0.1");

    protected override bool Resumes => false;

    protected override void Declare(Command command)
    {
        command.Options.Add(_before);
        command.Options.Add(_turns);
        command.Options.Add(_out);
        command.Arguments.Add(_figure);
    }

    protected override async Task<int> RunAsync(ParseResult arguments, VerbContext context)
    {
        string[] figure = arguments.GetValue(_figure)!;
        int turns = arguments.GetValue(_turns);
        if (turns is < 1 or > 1000) throw VerbException.Usage($"{_turns.Name} is {turns}", $"use 1 to 1000; an interval wants {EnoughTurns}");
        if (figure.Contains("--dry-run")) throw VerbException.Usage("the figure has --dry-run: it would measure nothing", $"see what would run: {Title.Name} --dry-run -- {figure[0]} ...");
        if (figure.Any(a => a == "--out" || a.StartsWith("--out=", StringComparison.Ordinal))) throw VerbException.Usage("the figure has an --out of its own", $"write the comparison: {Title.Name} --out FILE -- {figure[0]} ...");
        foreach (string own in (string[])["--threads", "--seed"])
        {
            if (arguments.GetResult(own) is OptionResult { Implicit: false }) throw VerbException.Usage($"{own} stands before --, where it would do nothing: it is the figure's", $"put it behind: {Title.Name} ... -- {figure[0]} {own} ...");
        }
        string before = Build(arguments.GetValue(_before)!);
        string? file = FigureDocument.Target(arguments.GetValue(_out), _out.Name);
        if (context.Settings.DryRun)
        {
            context.Say($"would run {2 * turns} times, in turn by {before} and this build: {string.Join(' ', figure)}");
            return ExitCodes.Done;
        }
        context.Say(MachineInfo.Current.Describe());
        long start = Stopwatch.GetTimestamp();
        string folder = Directory.CreateTempSubdirectory("sparseland-turns-").FullName;
        IReadOnlyList<(JsonObject Before, JsonObject After)> documents;
        Exception? ended;
        try
        {
            (documents, ended) = await TakeAsync(turns, async (turn, other) =>
            {
                string left = turn == 0 ? "" : $", {Remaining(start, turn, turns)} left";
                context.Say($"turn {turn + 1} of {turns}, {(other ? "the build before" : "this build")}{left}");
                return await RunAsync(other ? before : null, figure, folder, context).ConfigureAwait(false);
            }).ConfigureAwait(false);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
        IReadOnlyList<TurnsComparison> comparisons = TurnsComparison.Of(documents, out IReadOnlyList<string> only);
        if (only.Count > 0) context.Warn($"{only.Count} times are not in every run and are left out: {string.Join("; ", only.Take(3))}{(only.Count > 3 ? " ..." : "")}");
        Print(comparisons, context);
        string command = string.Create(CultureInfo.InvariantCulture, $"{Title.Name} {_turns.Name} {documents.Count} -- {string.Join(' ', figure)}");
        JsonObject document = FigureDocument.Make(FigureName, command, Stopwatch.GetElapsedTime(start), [.. comparisons.Select(c => c.ToJson())]);
        // The figure's threads are those of its own process.
        document["machine"] = documents[0].After["machine"]?.DeepClone();
        document["before"] = (string?)documents[0].Before["commit"];
        if (file is not null) FigureDocument.Write(file, document);
        if (ended is not null) context.Warn($"ended after {documents.Count} of {turns} turns, which are above{(file is null ? "" : $" and in {file}")}");
        if (ended is VerbException failed) throw failed;
        context.Result(document);
        return ended is null ? ExitCodes.Done : ExitCodes.Cancelled;
    }

    /// <summary>Both builds' documents of every turn.</summary>
    /// <param name="turns">So many, at least one.</param>
    /// <param name="run">Runs a turn's figure by the other build (true) or by this one.</param>
    /// <returns>Those of the turns that are whole, one at least, and what ended them early or null: turns take minutes, and a last one that fails or is cancelled costs none of the others.</returns>
    internal static async Task<(IReadOnlyList<(JsonObject Before, JsonObject After)> Documents, Exception? Ended)> TakeAsync(int turns, Func<int, bool, Task<JsonObject>> run)
    {
        var documents = new List<(JsonObject Before, JsonObject After)>();
        try
        {
            for (int turn = 0; turn < turns; turn++)
            {
                // Who is first changes: what a run leaves behind, warmth or a waiting neighbour, is not always for the same build.
                var pair = new JsonObject[2];
                for (int i = 0; i < 2; i++)
                {
                    bool other = turn % 2 == i;
                    pair[other ? 0 : 1] = await run(turn, other).ConfigureAwait(false);
                }
                documents.Add((pair[0], pair[1]));
            }
        }
        catch (Exception e) when (documents.Count > 0 && e is OperationCanceledException or VerbException)
        {
            return (documents, e);
        }
        return (documents, null);
    }

    /// <summary>The assembly of a build.</summary>
    /// <exception cref="VerbException">There is none; the message names it.</exception>
    internal static string Build(string given)
    {
        string[] programs = Directory.Exists(given) ? [Path.Combine(given, Program), Path.Combine(given, s_output, Program)] : [given];
        return programs.FirstOrDefault(File.Exists) is { } program ? Path.GetFullPath(program)
            : throw VerbException.Usage($"there is no build at {string.Join(" or ", programs)}", $"build the other commit in a checkout of its own, or copy this one's {s_output} before the change");
    }

    private static async Task<JsonObject> RunAsync(string? program, string[] figure, string folder, VerbContext context)
    {
        context.Cancellation.ThrowIfCancellationRequested();
        string file = Path.Combine(folder, "figure.json");
        (int exit, string error) = await FigureProcess.RunAsync(program, [.. figure, "--out", file], output: false, errors: false, context.Cancellation).ConfigureAwait(false);
        if (exit != ExitCodes.Done || !File.Exists(file))
            throw VerbException.Usage($"{program ?? "this build"} ended with {exit} and {(File.Exists(file) ? "a" : "no")} file: {error.Trim()}", $"run it alone, by that build: {string.Join(' ', figure)}");
        JsonObject document = JsonNode.Parse(File.ReadAllText(file))!.AsObject();
        File.Delete(file);
        return document;
    }

    private static string Remaining(long start, int done, int all)
    {
        TimeSpan left = Stopwatch.GetElapsedTime(start) / done * (all - done);
        return left.TotalSeconds < 90 ? $"about {left.TotalSeconds:0} s" : $"about {left.TotalMinutes:0} min";
    }

    private static void Print(IReadOnlyList<TurnsComparison> comparisons, VerbContext context)
    {
        Table table = Figure.NewTable("row", "variant", "before ms", "after ms", "times as fast", "interval", "by least times");
        foreach (TurnsComparison c in comparisons)
        {
            JsonObject row = c.ToJson();
            table.AddRow(Markup.Escape(c.Row), Markup.Escape(c.Variant), Aim.Number((double)row["beforeMs"]!), Aim.Number((double)row["afterMs"]!), Aim.Number(c.SpeedUp.Median), c.Before.Length < EnoughTurns ? "" : $"{Aim.Number(c.SpeedUp.Interval.Low)} to {Aim.Number(c.SpeedUp.Interval.High)}", Aim.Number(c.LeastSpeedUp));
        }
        context.Console.Write(table);
        foreach (IGrouping<string, TurnsComparison> variant in comparisons.GroupBy(c => c.Variant).Where(g => g.Count() > 1))
            context.Conclude($"{variant.Key}: {Aim.Number(GeometricMean(variant.Select(c => c.SpeedUp.Median)))} times as fast over {variant.Count()} rows (geometric mean; by least times {Aim.Number(GeometricMean(variant.Select(c => c.LeastSpeedUp)))})");
    }

    private static double GeometricMean(IEnumerable<double> ratios) => Math.Exp(ratios.Average(Math.Log));
}
