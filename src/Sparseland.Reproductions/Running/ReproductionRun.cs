using System.Diagnostics;

namespace Sparseland.Reproductions.Running;

/// <summary>What a reproduction measures with, for one seed.</summary>
public sealed class ReproductionRun
{
    private readonly Dictionary<string, double> _values = new(StringComparer.Ordinal);
    private readonly List<string> _notes = [];
    private readonly Action<double, string>? _progress;

    /// <summary>A run of one seed.</summary>
    /// <param name="seed">The seed; everything random follows from it.</param>
    /// <param name="budget">How much is spent.</param>
    /// <param name="dataRoot">Where real data is, or null.</param>
    /// <param name="progress">Receives the part that is done, 0 to 1, and what is being done.</param>
    /// <param name="cancellation">Stops within a training step.</param>
    public ReproductionRun(int seed, Budget budget, string? dataRoot = null, Action<double, string>? progress = null, CancellationToken cancellation = default)
    {
        Seed = seed;
        Budget = budget;
        DataRoot = dataRoot;
        Cancellation = cancellation;
        _progress = progress;
    }

    /// <summary>The seed.</summary>
    public int Seed { get; }

    /// <summary>How much is spent.</summary>
    public Budget Budget { get; }

    /// <summary>Where real data is, or null.</summary>
    public string? DataRoot { get; }

    /// <summary>Stops within a training step.</summary>
    public CancellationToken Cancellation { get; }

    /// <summary>Processor time of this process, seconds: what else the machine does meanwhile does not count.</summary>
    public static double ProcessorSeconds
    {
        get
        {
            using var self = Process.GetCurrentProcess();
            return self.TotalProcessorTime.TotalSeconds;
        }
    }

    /// <summary>What was measured so far.</summary>
    public IReadOnlyDictionary<string, double> Values => _values;

    /// <summary>Remarks for the result: data that was missing, and the like.</summary>
    public IReadOnlyList<string> Notes => _notes;

    /// <summary>A value by budget.</summary>
    public T Pick<T>(T quick, T standard, T full) => Budget switch { Budget.Quick => quick, Budget.Standard => standard, _ => full };

    /// <summary>Records a value under a name that is not used yet.</summary>
    public void Measure(string name, double value)
    {
        if (!double.IsFinite(value)) throw new ArgumentException($"'{name}' is {value}.", nameof(value));
        if (!_values.TryAdd(name, value)) throw new ArgumentException($"'{name}' was measured already.", nameof(name));
    }

    /// <summary>Adds a remark, once.</summary>
    public void Note(string text)
    {
        if (!_notes.Contains(text)) _notes.Add(text);
    }

    /// <summary>Says how far the run has come.</summary>
    /// <param name="done">0 to 1.</param>
    /// <param name="what">A few words.</param>
    public void Report(double done, string what)
    {
        Cancellation.ThrowIfCancellationRequested();
        _progress?.Invoke(Math.Clamp(done, 0, 1), what);
    }
}
