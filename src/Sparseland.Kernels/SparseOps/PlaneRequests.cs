using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.SparseOps;

/// <summary>Rows of some planes that are asked for before they are read, part by part, while something is computed: code and dots wait for no memory, and copies for little else.</summary>
internal unsafe struct PlaneRequests
{
    /// <summary>The rows of the first plane.</summary>
    public float* First;

    /// <summary>Floats between planes.</summary>
    public nint Stride;

    /// <summary>How many planes; 0 asks for nothing.</summary>
    public int Planes;

    /// <summary>Floats of a plane's rows.</summary>
    public int Count;

    /// <summary>Asks for a part of the planes, into the second cache.</summary>
    public readonly void Ask(int part, int parts)
    {
        int end = (int)((long)Planes * (part + 1) / parts);
        for (int p = (int)((long)Planes * part / parts); p < end; p++)
        {
            float* at = First + p * Stride;
            for (float* stop = at + Count; at < stop; at += Lanes.Count) Sse.Prefetch1(at);
        }
    }
}
