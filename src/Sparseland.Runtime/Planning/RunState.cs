using System.Runtime.CompilerServices;
using Sparseland.Kernels.Dense;
using Sparseland.Model;
using Sparseland.Model.Graph;

namespace Sparseland.Runtime.Planning;

/// <summary>The memory of one run of a plan; runs at the same time have one each.</summary>
/// <remarks>
/// What a run gives its caller is written where it stays: copied out of the arena, 10 MB of outputs took 2 ms of one thread beside 0.3 of work. Such memory is new in every run, so
/// the garbage collector goes round after some of them and gives back what was let go; taken anew in pages of 4 KiB, 10 MB cost 5 ms of page faults in two runs of five. Hence large pages.
/// </remarks>
internal sealed class RunState(IReadOnlyList<Slot> slots, int arenaLength, IReadOnlyList<Slot> handed)
{
    // A whole large page and more: less is not worth the call.
    private const int WorthLargePages = 2 * LargePages.Bytes / sizeof(float);

    private readonly Memory<float> _arena = AtLine(arenaLength);
    private readonly TensorData?[] _tensors = new TensorData?[slots.Count];
    private readonly float[]?[] _handed = new float[]?[handed.Count];

    /// <summary>What attentions with a cache continue.</summary>
    public KeyValueCache? Cache { get; set; }

    /// <summary>The values of a single-precision slot.</summary>
    public ReadOnlySpan<float> Read(Slot slot) => slot.Kind switch
    {
        SlotKind.Arena => Write(slot),
        SlotKind.Constant => slot.Constant!.Span<float>(),
        _ => Required(slot).Span<float>(),
    };

    /// <summary>The memory of an arena slot, for the step that makes it.</summary>
    public Span<float> Write(Slot slot)
    {
        Slot owner = slot.Owner;
        return owner.Handed < 0 ? _arena.Span.Slice(owner.Offset, slot.Length) : _handed[owner.Handed].AsSpan(0, slot.Length);
    }

    /// <summary>Before a run: memory for what it will hand out.</summary>
    public void Begin()
    {
        for (int i = 0; i < _handed.Length; i++)
        {
            float[] array = GC.AllocateUninitializedArray<float>(handed[i].Length);
            if (array.Length >= WorthLargePages) LargePages.Ask<float>(array);
            _handed[i] = array;
        }
    }

    /// <summary>After a run: the value as a tensor of the caller's.</summary>
    public TensorData Output(Slot slot) => slot.Kind switch
    {
        SlotKind.Constant => slot.Constant!.Clone(),
        SlotKind.Arena when slot.Owner.Handed >= 0 => TensorData.Wrap(_handed[slot.Owner.Handed]!, slot.Shape!),
        SlotKind.Arena => Tensor(slot),
        // An input of the caller's, or what a step made: that may be an input or a constant under another shape, and may have been given out under another name.
        _ => Required(slot).Clone(),
    };

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
        Array.Clear(_handed);
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
