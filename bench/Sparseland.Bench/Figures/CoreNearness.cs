using Sparseland.Kernels.Threading;

namespace Sparseland.Bench.Figures;

/// <summary>What a run has learned about the distance of its cores: whether it is worth waiting until they are near.</summary>
/// <remarks>
/// A hypervisor that moves virtual cores among chiplets brings them together within seconds to minutes. On another machine they are near for some seconds in many minutes: 470 ns there and back, nearly always.
/// There every row waited in vain. So a run waits twice in vain and then no more, until a row begins with near cores by itself; and as long as no wait was of use, for some seconds each.
/// </remarks>
internal sealed class CoreNearness
{
    private const int MostWaitsInVain = 2;
    private const double SecondsWithoutHope = 5;

    private int _inVain;
    private bool _wasOfUse;

    /// <summary>The fewest nanoseconds there and back that were seen.</summary>
    public double Least { get; private set; } = double.PositiveInfinity;

    /// <summary>Whether a row waits for near cores.</summary>
    public bool IsWaitedFor => _inVain < MostWaitsInVain;

    /// <summary>So long one wait is worth.</summary>
    public double MostWaitSeconds => _wasOfUse ? double.PositiveInfinity : SecondsWithoutHope;

    /// <summary>Notes a distance.</summary>
    public void Found(double nanoseconds)
    {
        Least = Math.Min(Least, nanoseconds);
        if (nanoseconds <= CoreDistance.NearNanoseconds) _inVain = 0;
    }

    /// <summary>Notes how a wait for cores that were not near ended.</summary>
    /// <returns>Whether it was the last one.</returns>
    public bool Waited(double nanoseconds)
    {
        Found(nanoseconds);
        bool near = nanoseconds <= CoreDistance.NearNanoseconds;
        _wasOfUse |= near;
        if (!near) _inVain++;
        return !IsWaitedFor;
    }
}
