using System.Runtime.Intrinsics.X86;

namespace Sparseland.Kernels.Dense;

/// <summary>Rows of a bias that the next tile of queries will read: asked for in small steps while this tile is computed, so that reading them hides behind arithmetic.</summary>
/// <remarks>A bias per head comes from memory. Asked for all at once, its lines would hold up the loads of what is computed; a few for each row of scores do not.</remarks>
internal unsafe struct BiasAhead(float* first, long floats)
{
    private const int Line = 64 / sizeof(float);

    private float* _next = first;
    private readonly float* _end = first + floats;
    private int _step;

    /// <summary>Divides what there is among so many calls of <see cref="Step"/>.</summary>
    public void Spread(int steps) => _step = steps == 0 ? 0 : (int)(((_end - _next) / Line / steps) + 1) * Line;

    /// <summary>Asks for some lines.</summary>
    public void Step()
    {
        if (_next == _end || !Sse.IsSupported) return;
        float* stop = _end - _next > _step ? _next + _step : _end;
        for (; _next < stop; _next += Line) Sse.Prefetch1(_next);
        _next = stop;
    }
}
