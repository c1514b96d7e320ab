using System.Buffers;
using System.Runtime.CompilerServices;
using Sparseland.Kernels.Dense;
using Sparseland.Model.Graph;
using Sparseland.Runtime.Passes;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Steps;

/// <summary>Attention over [batch, heads, length, size] or [batch, length, heads * size], with a key/value cache when the node was given one.</summary>
internal sealed class AttentionStep : Step
{
    private readonly Attention _geometry;
    private readonly bool _flat;
    private readonly int _cacheIndex;
    private readonly int[]? _maskShape;

    // A mask that is a constant is read once: which scores it hides and, where it is made of flags, as numbers. Layers and plans with the same mask share both.
    private readonly float[]? _constantBias;
    private readonly AttentionPattern? _pattern;

    private AttentionStep(Node node, Slot?[] inputs, Slot output, Attention geometry, bool flat, int cacheIndex, int[]? maskShape, StepContext context) : base(node, inputs, [output])
    {
        _geometry = geometry;
        _flat = flat;
        _cacheIndex = cacheIndex;
        _maskShape = maskShape;
        if (maskShape is null || cacheIndex >= 0 || inputs[3]!.Constant is not { } mask) return;
        if (mask.ElementType == ElementType.Bool) _constantBias = Shared($"{node.Input(3)}|bias", () => BiasOf(mask));
        // Nothing else of the geometry has to do with the tiles.
        string key = $"{node.Input(3)}|pattern|{geometry.Batch} {geometry.QueryHeads} {geometry.Queries} {geometry.Keys}|{geometry.BiasBatchStride} {geometry.BiasHeadStride} {geometry.BiasQueryStride}";
        _pattern = Shared(key, () => new StrongBox<AttentionPattern?>(AttentionPattern.FromBias(geometry, _constantBias ?? mask.Span<float>()))).Value;

        // What inference found depends on the plan's shapes; a weight is the same in all plans.
        T Shared<T>(string key, Func<T> make) where T : class => context.Weight(node.Input(3)) is null ? make() : context.Prepared.Get(key, make);
    }

    public override string Kernel => _cacheIndex >= 0 ? "online-softmax attention with cache" : "online-softmax attention";

    public override long MultiplyAdds => (long)_geometry.Batch * _geometry.QueryHeads * _geometry.Queries * _geometry.Keys * (_geometry.HeadSize + _geometry.ValueSize);

    /// <summary>The step, or null when the node uses what only the definition offers.</summary>
    public static Step? TryCreate(Node node, StepContext context)
    {
        if (node.HasInput(4) || node.HasInput(5) || node.HasInput(6) || node.Outputs.Skip(1).Any(o => o.Length > 0)) return null;
        if (context.FloatShape(node.Inputs[0]) is not { } q || context.FloatShape(node.Inputs[1]) is not { } k || context.FloatShape(node.Inputs[2]) is not { } v) return null;
        if (q.Length != k.Length || k.Length != v.Length || q.Length is not (3 or 4) || context.FloatShape(node.Outputs[0]) is not { } y) return null;
        NodeAttributes a = node.Attributes;
        bool flat = q.Length == 3;
        int heads = flat ? (int)a.Int("q_num_heads", 0) : q[1], shared = flat ? (int)a.Int("kv_num_heads", 0) : k[1];
        if (heads < 1 || shared < 1 || heads % shared != 0) return null;
        int size = flat ? q[2] / heads : q[3], valueSize = flat ? v[2] / shared : v[3];
        if (size == 0 || valueSize == 0) return null;
        int queries = flat ? q[1] : q[2], keys = flat ? k[1] : k[2];
        int cacheIndex = node.Domain == FusionPass.Domain ? (int)a.Int(KeyValueCachePass.IndexAttribute, -1) : -1;
        var geometry = new Attention(q[0], heads, shared, queries, keys, size)
        {
            ValueSize = valueSize,
            Scale = a.Has("scale") ? a.Float("scale", 1) : 1f / MathF.Sqrt(size),
            SoftCap = a.Float("softcap", 0),
            Causal = a.Int("is_causal", 0) != 0,
        };
        int[]? maskShape = null;
        if (node.HasInput(3))
        {
            if (context.TypeOf(node.Input(3)) is not { ElementType: ElementType.Bool or ElementType.Float32, Shape: { IsStatic: true } shape } || shape.Rank > 4) return null;
            maskShape = new int[4];
            Array.Fill(maskShape, 1);
            shape.ToSizes().CopyTo(maskShape, 4 - shape.Rank);
            if (maskShape[3] != keys) return null;
            geometry = geometry with
            {
                BiasBatchStride = maskShape[0] == 1 ? 0 : maskShape[1] * maskShape[2] * keys,
                BiasHeadStride = maskShape[1] == 1 ? 0 : maskShape[2] * keys,
                BiasQueryStride = maskShape[2] == 1 ? 0 : keys,
            };
        }
        return new AttentionStep(node, context.Inputs(node), context.NewArena(node.Outputs[0], y), geometry, flat, cacheIndex, maskShape, context);
    }

    public override void Run(RunState state)
    {
        Attention g = _geometry;
        ReadOnlySpan<float> q = state.Read(Inputs[0]!), k = state.Read(Inputs[1]!), v = state.Read(Inputs[2]!);
        Span<float> y = state.Write(Outputs[0]!);
        bool moveQueries = _flat && g.Queries > 1 && g.QueryHeads > 1, moveKeys = _flat && g.Keys > 1 && g.KeyHeads > 1, moveOutput = moveQueries;
        using var rented = new Rented();
        if (moveQueries) q = HeadsFirst(q, g.Batch, g.Queries, g.QueryHeads, g.HeadSize, rented.Take(q.Length));
        if (moveKeys)
        {
            k = HeadsFirst(k, g.Batch, g.Keys, g.KeyHeads, g.HeadSize, rented.Take(k.Length));
            v = HeadsFirst(v, g.Batch, g.Keys, g.KeyHeads, g.ValueSize, rented.Take(v.Length));
        }
        if (_cacheIndex >= 0 && state.Cache is { } cache)
        {
            KeyValueCache.Layer layer = cache.Append(_cacheIndex, g, k, v);
            g = g with { Keys = cache.Length + g.Keys, KeyCapacity = layer.Capacity, CausalOffset = cache.Length };
            k = layer.Keys;
            v = layer.Values;
        }
        ReadOnlySpan<float> bias = default;
        if (_maskShape is not null) bias = _constantBias ?? Bias(state, rented);
        Span<float> result = moveOutput ? rented.Take(y.Length) : y;
        g.Forward(q, k, v, result, default, bias, default, _pattern);
        if (moveOutput) Permute.Copy(result, [g.Batch, g.QueryHeads, g.Queries, g.ValueSize], [0, 2, 1, 3], y);
    }

    private ReadOnlySpan<float> Bias(RunState state, Rented rented)
    {
        TensorData mask = state.Tensor(Inputs[3]!);
        if (mask.ElementType != ElementType.Bool) return mask.Span<float>();
        Span<float> bias = rented.Take(mask.Length);
        Attention.BiasFromMask(mask.Span<bool>(), bias);
        return bias;
    }

    private static float[] BiasOf(TensorData mask)
    {
        var bias = new float[mask.Length];
        Attention.BiasFromMask(mask.Span<bool>(), bias);
        return bias;
    }

    private static Span<float> HeadsFirst(ReadOnlySpan<float> x, int batch, int length, int heads, int size, Span<float> to)
    {
        Permute.Copy(x, [batch, length, heads, size], [0, 2, 1, 3], to);
        return to;
    }

    /// <summary>Arrays that go back to the pool together.</summary>
    private sealed class Rented : IDisposable
    {
        private readonly List<float[]> _arrays = [];

        public Span<float> Take(int length)
        {
            float[] array = ArrayPool<float>.Shared.Rent(length);
            _arrays.Add(array);
            return array.AsSpan(0, length);
        }

        public void Dispose()
        {
            foreach (float[] array in _arrays) ArrayPool<float>.Shared.Return(array);
        }
    }
}
