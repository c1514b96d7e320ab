using System.Diagnostics;

namespace Sparseland.Training.Autograd;

/// <summary>Adds up where the time of training steps goes, by pass and operation; nothing is measured while <see cref="Current"/> is null.</summary>
/// <remarks>For one measured model at a time: the benchmark's. Time of a weight's gradient is not counted as the backward pass of its operation again.</remarks>
internal sealed class StepClock
{
    public const string Forward = "forward", InputGradient = "input gradient", WeightGradient = "weight gradient", Optimizer = "optimizer";

    private readonly Dictionary<(string Pass, string Operation), long> _ticks = [];
    private long _weights;

    /// <summary>The clock that runs, or null.</summary>
    public static StepClock? Current { get; set; }

    /// <summary>Milliseconds by pass and operation.</summary>
    public IReadOnlyDictionary<(string Pass, string Operation), double> Milliseconds =>
        _ticks.ToDictionary(t => t.Key, t => t.Value * 1000.0 / Stopwatch.Frequency);

    /// <summary>Now, when a clock runs.</summary>
    public static long Start() => Current is null ? 0 : Stopwatch.GetTimestamp();

    /// <summary>Books the time since <paramref name="start"/>, when a clock runs.</summary>
    public static void Stop(string pass, string operation, long start) => Current?.Add(pass, operation, start);

    private void Add(string pass, string operation, long start)
    {
        long elapsed = Stopwatch.GetTimestamp() - start;
        if (pass == WeightGradient) _weights += elapsed;
        if (pass == InputGradient)
        {
            elapsed -= _weights;
            _weights = 0;
        }
        _ticks[(pass, operation)] = _ticks.GetValueOrDefault((pass, operation)) + elapsed;
    }
}
