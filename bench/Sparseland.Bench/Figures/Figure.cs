using System.CommandLine;
using System.Diagnostics;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Kernels.Threading;
using Spectre.Console;

namespace Sparseland.Bench.Figures;

/// <summary>A command that measures, prints a table and writes JSON with the machine, the commit and the date.</summary>
internal abstract class Figure : Verb
{
    private const int OurRestMilliseconds = 3;

    private readonly Option<string?> _out = new("--out") { Description = "Write the figure as JSON to this file; a bare name is one in this machine's folder of bench/results." };
    private readonly Option<int> _repetitions = new("--repetitions") { Description = "At least this many per variant.", DefaultValueFactory = _ => 30 };
    private readonly Option<double> _seconds = new("--seconds") { Description = "Measure at least this long per row.", DefaultValueFactory = _ => 1 };
    private readonly Option<double> _budget = new("--budget") { Description = "Measure at most this many seconds per row, whatever the repetitions.", DefaultValueFactory = _ => 20 };

    protected override bool Resumes => false;

    protected sealed override void Declare(Command command)
    {
        DeclareOwn(command);
        command.Options.Add(_out);
        command.Options.Add(_repetitions);
        command.Options.Add(_seconds);
        command.Options.Add(_budget);
    }

    /// <summary>Declares the figure's own options.</summary>
    protected virtual void DeclareOwn(Command command)
    {
    }

    /// <summary>Measures; prints as it goes; returns the rows for the file.</summary>
    protected abstract JsonArray Measure(ParseResult arguments, VerbContext context, TimingOptions options);

    protected sealed override Task<int> RunAsync(ParseResult arguments, VerbContext context)
    {
        int repetitions = arguments.GetValue(_repetitions);
        double seconds = arguments.GetValue(_seconds), budget = arguments.GetValue(_budget);
        if (repetitions < 3 || seconds is not (>= 0 and <= 3600) || budget is not (> 0 and <= 3600)) throw VerbException.Usage("--repetitions starts at 3, --seconds is 0 to 3600, --budget above 0");
        string? file = FigureDocument.Target(arguments.GetValue(_out), _out.Name);
        context.Say(MachineInfo.Current.Describe());
        long start = Stopwatch.GetTimestamp();
        JsonArray rows = Measure(arguments, context, new TimingOptions(repetitions, seconds, MostSeconds: budget));
        JsonObject document = FigureDocument.Make(Title.Name, CommandLine(), Stopwatch.GetElapsedTime(start), rows);
        if (file is not null) FigureDocument.Write(file, document);
        context.Result(document);
        return Task.FromResult(ExitCodes.Done);
    }

    /// <summary>A kernel in this process, timed with its data in the caches and its threads awake.</summary>
    internal static (string Name, Func<double> Run) Hot(string name, Action run) => OpenBlasPeer.Is(name) && WorkPool.Threads > 1
        ? (name, Beside(InterleavedTimer.TimedHot(run), OpenBlasPeer.RestMilliseconds))
        : (name, InterleavedTimer.TimedHot(run));

    /// <summary>Another engine's run: it begins when our idle threads sleep (they look for work for a millisecond), and ends when its own do.</summary>
    protected static Func<double> Beside(Func<double> run, int restMilliseconds) => () =>
    {
        Thread.Sleep(OurRestMilliseconds);
        double milliseconds = run();
        Thread.Sleep(restMilliseconds);
        return milliseconds;
    };

    /// <summary>Those of all whose names are in a list that is separated by commas: each once, in the order of all.</summary>
    /// <exception cref="VerbException">A word of the list is no name.</exception>
    internal static T[] Selected<T>(string list, string option, IReadOnlyList<T> all, Func<T, string> name)
    {
        string[] words = list.Split(',', StringSplitOptions.TrimEntries);
        if (words.FirstOrDefault(w => !all.Any(a => name(a) == w)) is { } unknown) throw VerbException.Usage($"{option} has '{unknown}'", $"use {string.Join(", ", all.Select(name))}");
        return [.. all.Where(a => words.Contains(name(a)))];
    }

    /// <summary>A variant as JSON.</summary>
    internal static JsonObject ToJson(Timing timing, double? deviation = null)
    {
        var json = new JsonObject
        {
            ["name"] = timing.Name,
            ["medianMs"] = Round(timing.Median),
            ["lowMs"] = Round(timing.Interval.Low),
            ["highMs"] = Round(timing.Interval.High),
            ["repetitions"] = timing.Milliseconds.Length,
        };
        if (deviation is { } d) json["largestDeviation"] = d;
        return json;
    }

    /// <summary>A ratio with its interval as JSON.</summary>
    internal static JsonObject RatioJson(Timing ratio) => new()
    {
        ["median"] = Round(ratio.Median),
        ["low"] = Round(ratio.Interval.Low),
        ["high"] = Round(ratio.Interval.High),
    };

    /// <summary>A table with the first column left-aligned and all others right-aligned.</summary>
    internal static Table NewTable(params ReadOnlySpan<string> columns)
    {
        var table = new Table().Border(TableBorder.Simple);
        for (int i = 0; i < columns.Length; i++)
        {
            var column = new TableColumn(Markup.Escape(columns[i]));
            table.AddColumn(i == 0 ? column : column.RightAligned());
        }
        return table;
    }

    internal static double Round(double value) => double.IsFinite(value) && value != 0 ? Math.Round(value, Math.Clamp(4 - (int)Math.Floor(Math.Log10(Math.Abs(value))), 0, 12)) : value;

    /// <summary>Seeded values from -1 to 1.</summary>
    internal static float[] Values(long length, Random random)
    {
        var values = new float[length];
        for (int i = 0; i < values.Length; i++) values[i] = 2 * random.NextSingle() - 1;
        return values;
    }

    /// <summary>Room for numbers from the start of a cache line on, as values of a running network have it.</summary>
    internal static unsafe ArraySegment<float> Aligned(long length)
    {
        const int Line = 64;
        float[] room = GC.AllocateArray<float>(checked((int)length + Line / sizeof(float)), pinned: true);
        nint address = (nint)System.Runtime.CompilerServices.Unsafe.AsPointer(ref room[0]);
        return new ArraySegment<float>(room, (int)((Line - address % Line) % Line / sizeof(float)), (int)length);
    }

    /// <summary>A copy of numbers from the start of a cache line on.</summary>
    internal static ArraySegment<float> Aligned(float[] values)
    {
        ArraySegment<float> aligned = Aligned(values.Length);
        values.CopyTo(aligned.AsSpan());
        return aligned;
    }

    /// <summary>The command without where its result went.</summary>
    private string CommandLine()
    {
        string[] arguments = Environment.GetCommandLineArgs();
        return string.Join(' ', arguments.Where((a, i) => i > 0 && a != _out.Name && arguments[i - 1] != _out.Name && !a.StartsWith(_out.Name + "=", StringComparison.Ordinal)));
    }
}
