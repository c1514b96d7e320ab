using System.Runtime.CompilerServices;
using Sparseland.Model;
using Sparseland.Model.Graph;

namespace Sparseland.Runtime.Planning;

/// <summary>The memory of one run of a plan; runs at the same time have one each.</summary>
internal sealed class RunState(IReadOnlyList<Slot> slots, int arenaLength)
{
    private readonly Memory<float> _arena = AtLine(arenaLength);
    private readonly TensorData?[] _tensors = new TensorData?[slots.Count];

    /// <summary>What attentions with a cache continue.</summary>
    public KeyValueCache? Cache { get; set; }

    /// <summary>The values of a single-precision slot.</summary>
    public ReadOnlySpan<float> Read(Slot slot) => slot.Kind switch
    {
        SlotKind.Arena => _arena.Span.Slice(slot.Owner.Offset, slot.Length),
        SlotKind.Constant => slot.Constant!.Span<float>(),
        _ => Required(slot).Span<float>(),
    };

    /// <summary>The memory of an arena slot, for the step that makes it.</summary>
    public Span<float> Write(Slot slot) => _arena.Span.Slice(slot.Owner.Offset, slot.Length);

    /// <summary>The value as a tensor; an arena value is copied out.</summary>
    public TensorData Tensor(Slot slot) => slot.Kind switch
    {
        SlotKind.Constant => slot.Constant!,
        SlotKind.Arena => TensorData.Wrap(Read(slot).ToArray(), slot.Shape!),
        _ => Required(slot),
    };

    /// <summary>Gives a tensor slot its value.</summary>
    public void Set(Slot slot, TensorData? value) => _tensors[slot.Id] = value;

    /// <summary>Lets go of all tensors so that a cached state keeps nothing of a caller alive.</summary>
    public void Clear()
    {
        Array.Clear(_tensors);
        Cache = null;
    }

    /// <summary>Memory from the start of a cache line on, as offsets are: kernels store and load whole lines.</summary>
    private static unsafe Memory<float> AtLine(int length)
    {
        const int Line = 64;
        float[] room = GC.AllocateUninitializedArray<float>(length + Line / sizeof(float), pinned: true);
        nint address = (nint)Unsafe.AsPointer(ref room[0]);
        return room.AsMemory((int)((Line - address % Line) % Line / sizeof(float)), length);
    }

    private TensorData Required(Slot slot) => _tensors[slot.Id]
        ?? throw new GraphException("SL2006", $"value '{slot.Name}' was read before it was computed");
}
