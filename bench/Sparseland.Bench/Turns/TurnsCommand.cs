using System.CommandLine;
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

    private readonly Option<string> _before = new("--before") { Description = $"The other build: its {Program}, or the folder that has it.", Required = true };
    private readonly Option<int> _turns = new("--turns") { Description = "How often each build measures.", DefaultValueFactory = _ => 5 };
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
        if (turns is < 1 or > 1000) throw VerbException.Usage($"{_turns.Name} is {turns}", "use 1 to 1000; a median wants at least 5");
        if (figure.Any(a => a == "--out" || a.StartsWith("--out=", StringComparison.Ordinal))) throw VerbException.Usage("the figure has an --out of its own", $"write the comparison: {Title.Name} --out FILE -- {figure[0]} ...");
        string before = Build(arguments.GetValue(_before)!);
        string? file = FigureDocument.Target(arguments.GetValue(_out), _out.Name);
        string command = string.Create(CultureInfo.InvariantCulture, $"{Title.Name} {_turns.Name} {turns} -- {string.Join(' ', figure)}");
        if (context.Settings.DryRun)
        {
            context.Say($"would run {2 * turns} times, in turn by {before} and this build: {string.Join(' ', figure)}");
            return ExitCodes.Done;
        }
        context.Say(MachineInfo.Current.Describe());
        long start = Stopwatch.GetTimestamp();
        var documents = new List<(JsonObject Before, JsonObject After)>();
        string folder = Directory.CreateTempSubdirectory("sparseland-turns-").FullName;
        try
        {
            for (int turn = 0; turn < turns; turn++)
            {
                string left = turn == 0 ? "" : $", {Remaining(start, turn, turns)} left";
                context.Say($"turn {turn + 1} of {turns}{left}");
                // Who is first changes: what a run leaves behind, warmth or a waiting neighbour, is not always for the same build.
                JsonObject? first = turn % 2 == 0 ? await RunAsync(before, figure, folder, context).ConfigureAwait(false) : null;
                JsonObject after = await RunAsync(null, figure, folder, context).ConfigureAwait(false);
                documents.Add((first ?? await RunAsync(before, figure, folder, context).ConfigureAwait(false), after));
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
        IReadOnlyList<TurnsComparison> comparisons = TurnsComparison.Of(documents);
        Print(comparisons, context);
        JsonObject document = FigureDocument.Make(FigureName, command, Stopwatch.GetElapsedTime(start), [.. comparisons.Select(c => c.ToJson())]);
        document["before"] = (string?)documents[0].Before["commit"];
        if (file is not null) FigureDocument.Write(file, document);
        context.Result(document);
        return ExitCodes.Done;
    }

    /// <summary>The assembly of a build.</summary>
    /// <exception cref="VerbException">There is none; the message names it.</exception>
    internal static string Build(string given)
    {
        string program = Directory.Exists(given) ? Path.Combine(given, Program) : given;
        return File.Exists(program) ? Path.GetFullPath(program) : throw VerbException.Usage($"there is no build at {program}", "build the other commit in a checkout of its own, or keep a copy of this one's bin/Release/net10.0 before the change");
    }

    private static async Task<JsonObject> RunAsync(string? program, string[] figure, string folder, VerbContext context)
    {
        context.Cancellation.ThrowIfCancellationRequested();
        string file = Path.Combine(folder, "figure.json");
        (int exit, string error) = await FigureProcess.RunAsync(program, [.. figure, "--out", file], silent: true, context.Cancellation).ConfigureAwait(false);
        if (exit != ExitCodes.Done || !File.Exists(file))
            throw VerbException.Usage($"{program ?? "this build"} ended with {exit}: {error.Trim()}", $"run it alone: {string.Join(' ', figure)}");
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
            table.AddRow(Markup.Escape(c.Row), Markup.Escape(c.Variant), Aim.Number((double)row["beforeMs"]!), Aim.Number((double)row["afterMs"]!), Aim.Number(c.SpeedUp.Median), $"{Aim.Number(c.SpeedUp.Interval.Low)} to {Aim.Number(c.SpeedUp.Interval.High)}", Aim.Number(c.LeastSpeedUp));
        }
        context.Console.Write(table);
        foreach (IGrouping<string, TurnsComparison> variant in comparisons.GroupBy(c => c.Variant).Where(g => g.Count() > 1))
            context.Conclude($"{variant.Key}: {Aim.Number(GeometricMean(variant.Select(c => c.SpeedUp.Median)))} times as fast over {variant.Count()} rows (geometric mean; by least times {Aim.Number(GeometricMean(variant.Select(c => c.LeastSpeedUp)))})");
    }

    private static double GeometricMean(IEnumerable<double> ratios) => Math.Exp(ratios.Average(Math.Log));
}
