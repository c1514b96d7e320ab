using Sparseland.Kernels.Dense;
using Sparseland.Kernels.SparseOps;
using Sparseland.Kernels.Threading;
using Sparseland.Model.Graph;
using Sparseland.Runtime.Steps;

namespace Sparseland.Runtime.Planning;

/// <summary>Lets planes of single images begin with cache lines, or lie in halves for two threads, where all steps that write or read them take that.</summary>
/// <remarks>
/// Planes of 14 x 14 floats fill 12 lines and a quarter, so registers of 16 pixels lie across two lines in three of four planes, and where two threads share the pixels they both write a line at the cut and one
/// at the end. With gaps each line is one thread's, and the last pixels are a tile as any other. Layers of 14 x 14 and of 7 x 7 pixels took 10 to 15 % less time so, with one thread as with two.
/// Planes of 16 x 16, 32 x 32 or 112 x 112 pixels lie a line further apart than they would: in steps of 1 KiB and multiples of it, lines of all channels fall into the same few sets of the caches, where a panel's outputs and the inputs
/// that are packed for them drive each other out: a layer of 64 channels of 32 x 32 pixels (3 x 3, 90 % zeros, one thread, Zen 4) took 280 microseconds, 155 when taps were packed for six channels at a time, and 130 with the line.
/// Where the first layer is dense its output takes no gaps, and so residual sums of its stage have none either: a residual lies as its sum.
/// </remarks>
internal static class SpacedPlanes
{
    // Gaps are at most a third of the pixels: 7 x 7 take 64 floats.
    private const int MostGap = 3;

    // Floats: the same pixel of planes that are so far apart, or a multiple of it, falls into four sets of the first cache or fewer.
    private const int CrowdedDistance = 256;

    // Pixels of eight registers: threads share those of larger images, and the rows of weights for smaller ones.
    private const int LeastHalved = 128;

    /// <summary>Sets <see cref="Slot.PlaneDistance"/>, <see cref="Slot.InHalves"/> and the lengths of slots; before memory is placed.</summary>
    public static void Apply(IReadOnlyList<Step> steps, IReadOnlyList<Slot> slots, IEnumerable<Slot> outputs, CancellationToken cancellation)
    {
        // What leaves the plan, has another shape elsewhere or is read by name lies without gaps.
        var plain = new HashSet<Slot>(outputs.Select(s => s.Owner));
        plain.UnionWith(slots.Where(s => s.AliasOf is not null).Select(s => s.Owner));
        plain.UnionWith(steps.OfType<FallbackStep>().SelectMany(s => s.Captured));
        // Nobody writes what lay between two steps that became one.
        plain.UnionWith(slots.Except(steps.SelectMany(s => s.Outputs).OfType<Slot>()));
        Halve(steps, slots, plain, cancellation);
        var spaced = new HashSet<Slot>();
        foreach (Slot slot in slots)
        {
            if (slot is { Kind: SlotKind.Arena, AliasOf: null, InHalves: false, Shape: [< BreakEvenMeasurement.SharedImages, _, int height, int width] } && Distance(height * width) > height * width) spaced.Add(slot);
        }
        spaced.ExceptWith(plain);
        foreach (Step step in steps)
        {
            foreach (Slot? slot in step.Inputs.Concat(step.Outputs))
            {
                if (slot is not null && !step.TakesSpacing(slot)) spaced.Remove(slot);
            }
        }
        while (steps.Any(Parts))
        {
        }
        foreach (Slot slot in spaced)
        {
            slot.PlaneDistance = Distance(slot.Shape![2] * slot.Shape[3]);
            slot.Length = TensorData.CountElements([slot.Shape[0], slot.Shape[1], slot.PlaneDistance]);
        }

        // A residual lies as its sum.
        bool Parts(Step step) => step.SpacedAsOutput is { } other && spaced.Contains(other) != spaced.Contains(step.Outputs[0]!) && (spaced.Remove(other) | spaced.Remove(step.Outputs[0]!));
    }

    /// <summary>Two threads that share the pixels of an image have memory of their own for their halves (<see cref="PlaneHalves"/>); more threads, and one, have it in one piece.</summary>
    private static void Halve(IReadOnlyList<Step> steps, IReadOnlyList<Slot> slots, HashSet<Slot> plain, CancellationToken cancellation)
    {
        if (WorkPool.Threads != 2 || !CompiledKernels.AreWritten) return;
        foreach (Slot slot in slots)
        {
            // Whether a layer takes halves depends on its code, which is written for that.
            cancellation.ThrowIfCancellationRequested();
            if (slot is not { Kind: SlotKind.Arena, AliasOf: null, Shape: [1, int channels, int height, int width] } || height * width < LeastHalved || plain.Contains(slot)) continue;
            if (!steps.All(s => !(s.Inputs.Contains(slot) || s.Outputs.Contains(slot)) || s.TakesHalves(slot))) continue;
            PlaneHalves halves = PlaneHalves.Of(channels, height, width);
            (slot.InHalves, slot.PlaneDistance, slot.Length) = (true, halves.Distance, halves.Piece);
        }
    }

    private static int Distance(int pixels)
    {
        int distance = PlaneSpacing.ToLines(pixels);
        if (distance % CrowdedDistance == 0) distance = checked(distance + PlaneSpacing.Line);
        return distance - pixels <= pixels / MostGap ? distance : pixels;
    }
}
