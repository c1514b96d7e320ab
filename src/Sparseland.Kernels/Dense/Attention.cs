using System.Numerics.Tensors;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.Dense;

/// <summary>The geometry of scaled dot-product attention, and its products.</summary>
/// <remarks>
/// query [batch, queryHeads, queries, headSize], key [batch, keyHeads, keys, headSize], value [batch, keyHeads, keys, valueSize],
/// output [batch, queryHeads, queries, valueSize]. Query head h reads key head h / (queryHeads / keyHeads). The score of
/// query i and key j is softCap * tanh(scale * q.k / softCap) (without a cap: scale * q.k) plus a bias; keys that are masked
/// (causal, beyond the key length, bias of negative infinity) do not count. A query without keys gives zeros.
/// Nothing of size queries x keys is stored: Dao et al., "FlashAttention", algorithm 1; Milakov, Gimelshein, "Online
/// normalizer calculation for softmax", algorithm 3.
/// </remarks>
public readonly record struct Attention
{
    // Tiles of the score matrix: 32 KiB of scores, and operands that stay in the second-level cache.
    private const int QueryTile = 64;
    private const int KeyTile = 128;

    /// <summary>Attention with scale 1 / sqrt(headSize), no mask, and values as wide as keys; set the rest with an initialiser.</summary>
    /// <param name="batch">Sequences, at least 0.</param>
    /// <param name="queryHeads">Heads of the query, at least 1.</param>
    /// <param name="keyHeads">Heads of key and value, a divisor of queryHeads.</param>
    /// <param name="queries">Positions of the query, at least 0.</param>
    /// <param name="keys">Positions of key and value, at least 0.</param>
    /// <param name="headSize">Width of a head, at least 1.</param>
    public Attention(int batch, int queryHeads, int keyHeads, int queries, int keys, int headSize)
    {
        (Batch, QueryHeads, KeyHeads, Queries, Keys, HeadSize, ValueSize) = (batch, queryHeads, keyHeads, queries, keys, headSize, headSize);
        Scale = 1f / MathF.Sqrt(headSize);
        KeyCapacity = keys;
    }

    /// <summary>Sequences.</summary>
    public int Batch { get; init; }

    /// <summary>Heads of the query.</summary>
    public int QueryHeads { get; init; }

    /// <summary>Heads of key and value.</summary>
    public int KeyHeads { get; init; }

    /// <summary>Positions of the query.</summary>
    public int Queries { get; init; }

    /// <summary>Positions of key and value that take part.</summary>
    public int Keys { get; init; }

    /// <summary>Width of a query and key head.</summary>
    public int HeadSize { get; init; }

    /// <summary>Width of a value head.</summary>
    public int ValueSize { get; init; }

    /// <summary>Positions that each head of key and value is stored with, at least <see cref="Keys"/>: the capacity of a cache.</summary>
    public int KeyCapacity { get; init; }

    /// <summary>Factor of q.k.</summary>
    public float Scale { get; init; }

    /// <summary>Cap of the scores, 0 for none (Gemma 2, section 2).</summary>
    public float SoftCap { get; init; }

    /// <summary>Whether query i sees keys 0 .. i + <see cref="CausalOffset"/> only.</summary>
    public bool Causal { get; init; }

    /// <summary>Position of query 0 among the keys: the number of keys from earlier calls.</summary>
    public int CausalOffset { get; init; }

    /// <summary>Distance of the bias between sequences; 0 uses one for all.</summary>
    public int BiasBatchStride { get; init; }

    /// <summary>Distance of the bias between query heads; 0 uses one for all.</summary>
    public int BiasHeadStride { get; init; }

    /// <summary>Distance of the bias between queries: the number of keys, or 0 to use one row for all.</summary>
    public int BiasQueryStride { get; init; }

    /// <summary>Computes the output.</summary>
    /// <param name="query">[batch, queryHeads, queries, headSize].</param>
    /// <param name="key">[batch, keyHeads, keyCapacity, headSize].</param>
    /// <param name="value">[batch, keyHeads, keyCapacity, valueSize].</param>
    /// <param name="output">[batch, queryHeads, queries, valueSize]; overwritten.</param>
    /// <param name="keyLengths">[batch], how many keys of each sequence count; or empty for all.</param>
    /// <param name="bias">Added to the scores, laid out by the three strides with keys innermost; or empty.</param>
    /// <param name="logSumExp">[batch, queryHeads, queries], receives what <see cref="Backward"/> needs; or empty.</param>
    /// <exception cref="ArgumentException">The geometry is invalid or a span does not fit it.</exception>
    public unsafe void Forward(ReadOnlySpan<float> query, ReadOnlySpan<float> key, ReadOnlySpan<float> value, Span<float> output,
        ReadOnlySpan<int> keyLengths = default, ReadOnlySpan<float> bias = default, Span<float> logSumExp = default)
    {
        Check(query.Length, key.Length, value.Length, output.Length, keyLengths, bias.Length);
        if (!logSumExp.IsEmpty) Parts.Need(logSumExp.Length, (long)Batch * QueryHeads * Queries, nameof(logSumExp));
        fixed (float* pq = query, pk = key, pv = value, po = output, pb = bias, pl = logSumExp)
        {
            fixed (int* pn = keyLengths)
            {
                SimdDispatch.Run(new Work { Shape = this, Query = pq, Key = pk, Value = pv, Output = po, Bias = pb, LogSumExp = pl, KeyLengths = pn });
            }
        }
    }

    /// <summary>Gradients of query, key and value; scores are computed again.</summary>
    /// <param name="query">As in the forward pass.</param>
    /// <param name="key">As in the forward pass.</param>
    /// <param name="value">As in the forward pass.</param>
    /// <param name="output">From the forward pass.</param>
    /// <param name="logSumExp">From the forward pass.</param>
    /// <param name="outputGradient">[batch, queryHeads, queries, valueSize].</param>
    /// <param name="queryGradient">Shaped like query; overwritten.</param>
    /// <param name="keyGradient">Shaped like key; overwritten, zero beyond <see cref="Keys"/>.</param>
    /// <param name="valueGradient">Shaped like value; overwritten, zero beyond <see cref="Keys"/>.</param>
    /// <param name="keyLengths">As in the forward pass.</param>
    /// <param name="bias">As in the forward pass.</param>
    /// <exception cref="ArgumentException">The geometry is invalid or a span does not fit it.</exception>
    public unsafe void Backward(ReadOnlySpan<float> query, ReadOnlySpan<float> key, ReadOnlySpan<float> value, ReadOnlySpan<float> output, ReadOnlySpan<float> logSumExp,
        ReadOnlySpan<float> outputGradient, Span<float> queryGradient, Span<float> keyGradient, Span<float> valueGradient,
        ReadOnlySpan<int> keyLengths = default, ReadOnlySpan<float> bias = default)
    {
        Check(query.Length, key.Length, value.Length, output.Length, keyLengths, bias.Length);
        Check(queryGradient.Length, keyGradient.Length, valueGradient.Length, outputGradient.Length, keyLengths, bias.Length);
        Parts.Need(logSumExp.Length, (long)Batch * QueryHeads * Queries, nameof(logSumExp));
        fixed (float* pq = query, pk = key, pv = value, po = output, pb = bias, pl = logSumExp, pg = outputGradient, dq = queryGradient, dk = keyGradient, dv = valueGradient)
        {
            fixed (int* pn = keyLengths)
            {
                SimdDispatch.Run(new Work
                {
                    Shape = this,
                    Query = pq,
                    Key = pk,
                    Value = pv,
                    Output = po,
                    Bias = pb,
                    LogSumExp = pl,
                    KeyLengths = pn,
                    OutputGradient = pg,
                    QueryGradient = dq,
                    KeyGradient = dk,
                    ValueGradient = dv,
                });
            }
        }
    }

    /// <summary>Turns a mask (true: takes part) into a bias of 0 and negative infinity.</summary>
    /// <param name="mask">Whether each key takes part.</param>
    /// <param name="bias">Receives the bias, as long as the mask.</param>
    /// <exception cref="ArgumentException">bias is shorter than mask.</exception>
    public static void BiasFromMask(ReadOnlySpan<bool> mask, Span<float> bias)
    {
        Parts.Need(bias.Length, mask.Length, nameof(bias));
        for (int i = 0; i < mask.Length; i++) bias[i] = mask[i] ? 0f : float.NegativeInfinity;
    }

    private void Check(int query, int key, int value, int output, ReadOnlySpan<int> keyLengths, int bias)
    {
        if (Batch < 0 || Queries < 0 || Keys < 0 || QueryHeads < 1 || KeyHeads < 1 || HeadSize < 1 || ValueSize < 1) throw new ArgumentException($"{this}: a size is out of range.");
        if (QueryHeads % KeyHeads != 0) throw new ArgumentException($"{KeyHeads} key heads do not divide {QueryHeads} query heads.");
        if (KeyCapacity < Keys) throw new ArgumentException($"{Keys} keys in a capacity of {KeyCapacity}.");
        Parts.Need(query, (long)Batch * QueryHeads * Queries * HeadSize, "query");
        Parts.Need(key, (long)Batch * KeyHeads * KeyCapacity * HeadSize, "key");
        Parts.Need(value, (long)Batch * KeyHeads * KeyCapacity * ValueSize, "value");
        Parts.Need(output, (long)Batch * QueryHeads * Queries * ValueSize, "output");
        if (!keyLengths.IsEmpty)
        {
            Parts.Need(keyLengths.Length, Batch, nameof(keyLengths));
            foreach (int length in keyLengths[..Batch]) if (length < 0 || length > Keys) throw new ArgumentException($"A key length of {length} among {Keys} keys.", nameof(keyLengths));
        }
        if (bias != 0 && Batch > 0 && Queries > 0 && Keys > 0)
        {
            if (BiasBatchStride < 0 || BiasHeadStride < 0 || BiasQueryStride < 0) throw new ArgumentException("Bias strides cannot be negative.");
            Parts.Need(bias, ((long)(Batch - 1) * BiasBatchStride) + ((long)(QueryHeads - 1) * BiasHeadStride) + ((long)(Queries - 1) * BiasQueryStride) + Keys, "bias");
        }
    }

    private unsafe struct Work : ILevelWork
    {
        public Attention Shape;
        public float* Query;
        public float* Key;
        public float* Value;
        public float* Output;
        public float* Bias;
        public float* LogSumExp;
        public int* KeyLengths;
        public float* OutputGradient;
        public float* QueryGradient;
        public float* KeyGradient;
        public float* ValueGradient;

        public readonly void Run<V>() where V : unmanaged, IVector<V>
        {
            if (Shape.Batch == 0) return;
            Work w = this;
            long work = (long)Shape.Batch * Shape.QueryHeads * Shape.Queries * Shape.Keys * (Shape.HeadSize + Shape.ValueSize);
            if (OutputGradient != null)
            {
                // Sums for a key head run over its query heads: it is one part.
                Parts.Each(Shape.Batch * Shape.KeyHeads, work, part => w.BackwardHead<V>(part / w.Shape.KeyHeads, part % w.Shape.KeyHeads));
                return;
            }
            int tiles = (Shape.Queries + QueryTile - 1) / QueryTile;
            Parts.Each(Shape.Batch * Shape.QueryHeads * tiles, work, part =>
            {
                int head = part / tiles % w.Shape.QueryHeads, batch = part / tiles / w.Shape.QueryHeads;
                w.ForwardTile<V>(batch, head, part % tiles * QueryTile);
            });
        }

        private readonly int KeyHead(int head) => head / (Shape.QueryHeads / Shape.KeyHeads);

        private readonly float* QueryAt(float* query, int batch, int head, int position, int size) =>
            query + (((((nint)batch * Shape.QueryHeads) + head) * Shape.Queries) + position) * size;

        private readonly float* KeyAt(float* key, int batch, int keyHead, int position, int size) =>
            key + (((((nint)batch * Shape.KeyHeads) + keyHead) * Shape.KeyCapacity) + position) * size;

        // Keys that any of the queries up to lastQuery sees.
        private readonly int VisibleKeys(int batch, int lastQuery)
        {
            int keys = KeyLengths == null ? Shape.Keys : KeyLengths[batch];
            return Shape.Causal ? (int)Math.Clamp((long)lastQuery + Shape.CausalOffset + 1, 0, keys) : keys;
        }

        private static void Multiply<V>(bool transA, bool transB, int m, int n, int k, float alpha, float* a, int lda, float* b, int ldb, float beta, float* c, int ldc) where V : unmanaged, IVector<V> =>
            GemmDriver.Run<V>(new GemmCall
            {
                TransA = transA,
                TransB = transB,
                M = m,
                N = n,
                K = k,
                Alpha = alpha,
                Beta = beta,
                A = a,
                Lda = lda,
                B = b,
                Ldb = ldb,
                C = c,
                Ldc = ldc,
                Epilogue = new GemmEpilogue { Clamp = Clamp.None },
            });

        // scores [rows, columns] of queries from `query` and keys from `key`; slopes receives d score / d (scale q.k) under a cap.
        private readonly void Scores<V>(int batch, int head, int query, int rows, int key, int columns, float* scores, float* slopes) where V : unmanaged, IVector<V>
        {
            int d = Shape.HeadSize;
            Multiply<V>(false, true, rows, columns, d, Shape.Scale, QueryAt(Query, batch, head, query, d), d, KeyAt(Key, batch, KeyHead(head), key, d), d, 0f, scores, KeyTile);
            for (int i = 0; i < rows; i++)
            {
                var row = new Span<float>(scores + (i * KeyTile), columns);
                if (Shape.SoftCap > 0f)
                {
                    TensorPrimitives.Divide(row, Shape.SoftCap, row);
                    TensorPrimitives.Tanh(row, row);
                    if (slopes != null)
                    {
                        for (int j = 0; j < columns; j++) slopes[(i * KeyTile) + j] = 1f - (row[j] * row[j]);
                    }
                    TensorPrimitives.Multiply(row, Shape.SoftCap, row);
                }
                if (Bias != null)
                {
                    float* from = Bias + ((nint)batch * Shape.BiasBatchStride) + ((nint)head * Shape.BiasHeadStride) + ((nint)(query + i) * Shape.BiasQueryStride) + key;
                    TensorPrimitives.Add(row, new ReadOnlySpan<float>(from, columns), row);
                }
                int visible = Shape.Causal ? (int)Math.Clamp((long)query + i + Shape.CausalOffset + 1 - key, 0, columns) : columns;
                row[visible..].Fill(float.NegativeInfinity);
            }
        }

        private readonly void ForwardTile<V>(int batch, int head, int query) where V : unmanaged, IVector<V>
        {
            int rows = Math.Min(QueryTile, Shape.Queries - query), dv = Shape.ValueSize, keys = VisibleKeys(batch, query + rows - 1);
            float* output = QueryAt(Output, batch, head, query, dv);
            new Span<float>(output, rows * dv).Clear();
            using Scratch.Buffer scoreBuffer = Scratch.Rent(rows * KeyTile);
            float* scores = scoreBuffer.Pointer;
            float* max = stackalloc float[QueryTile];
            float* sum = stackalloc float[QueryTile];
            new Span<float>(max, rows).Fill(float.NegativeInfinity);
            new Span<float>(sum, rows).Clear();
            for (int key = 0; key < keys; key += KeyTile)
            {
                int columns = Math.Min(KeyTile, keys - key);
                Scores<V>(batch, head, query, rows, key, columns, scores, null);
                for (int i = 0; i < rows; i++)
                {
                    var row = new Span<float>(scores + (i * KeyTile), columns);
                    float largest = MathF.Max(max[i], TensorPrimitives.Max(row));
                    if (float.IsNegativeInfinity(largest))
                    {
                        row.Clear();
                        continue;
                    }
                    float correction = max[i] == largest ? 1f : MathF.Exp(max[i] - largest);
                    TensorPrimitives.Subtract(row, largest, row);
                    TensorPrimitives.Exp(row, row);
                    sum[i] = (sum[i] * correction) + LaneSums.Sum<V>(scores + (i * KeyTile), columns);
                    if (correction != 1f)
                    {
                        var o = new Span<float>(output + ((nint)i * dv), dv);
                        TensorPrimitives.Multiply(o, correction, o);
                    }
                    max[i] = largest;
                }
                Multiply<V>(false, false, rows, dv, columns, 1f, scores, KeyTile, KeyAt(Value, batch, KeyHead(head), key, dv), dv, 1f, output, dv);
            }
            for (int i = 0; i < rows; i++)
            {
                var o = new Span<float>(output + ((nint)i * dv), dv);
                if (sum[i] != 0f) TensorPrimitives.Multiply(o, 1f / sum[i], o);
                if (LogSumExp != null) *QueryAt(LogSumExp, batch, head, query + i, 1) = sum[i] == 0f ? float.NegativeInfinity : max[i] + MathF.Log(sum[i]);
            }
        }

        private readonly void BackwardHead<V>(int batch, int keyHead) where V : unmanaged, IVector<V>
        {
            int d = Shape.HeadSize, dv = Shape.ValueSize, group = Shape.QueryHeads / Shape.KeyHeads;
            new Span<float>(KeyAt(KeyGradient, batch, keyHead, 0, d), Shape.KeyCapacity * d).Clear();
            new Span<float>(KeyAt(ValueGradient, batch, keyHead, 0, dv), Shape.KeyCapacity * dv).Clear();
            using Scratch.Buffer scoreBuffer = Scratch.Rent(QueryTile * KeyTile), gradientBuffer = Scratch.Rent(QueryTile * KeyTile), slopeBuffer = Scratch.Rent(QueryTile * KeyTile);
            float* p = scoreBuffer.Pointer;
            float* ds = gradientBuffer.Pointer;
            float* slopes = Shape.SoftCap > 0f ? slopeBuffer.Pointer : null;
            float* dots = stackalloc float[QueryTile];
            for (int head = keyHead * group; head < (keyHead + 1) * group; head++)
            {
                new Span<float>(QueryAt(QueryGradient, batch, head, 0, d), Shape.Queries * d).Clear();
                for (int query = 0; query < Shape.Queries; query += QueryTile)
                {
                    int rows = Math.Min(QueryTile, Shape.Queries - query), keys = VisibleKeys(batch, query + rows - 1);
                    float* g = QueryAt(OutputGradient, batch, head, query, dv);
                    for (int i = 0; i < rows; i++) dots[i] = LaneSums.Dot<V>(g + ((nint)i * dv), QueryAt(Output, batch, head, query + i, dv), dv);
                    for (int key = 0; key < keys; key += KeyTile)
                    {
                        int columns = Math.Min(KeyTile, keys - key);
                        Scores<V>(batch, head, query, rows, key, columns, p, slopes);
                        Multiply<V>(false, true, rows, columns, dv, 1f, g, dv, KeyAt(Value, batch, keyHead, key, dv), dv, 0f, ds, KeyTile);
                        for (int i = 0; i < rows; i++)
                        {
                            var row = new Span<float>(p + (i * KeyTile), columns);
                            var gradient = new Span<float>(ds + (i * KeyTile), columns);
                            float logSum = *QueryAt(LogSumExp, batch, head, query + i, 1);
                            if (float.IsNegativeInfinity(logSum))
                            {
                                row.Clear();
                                gradient.Clear();
                                continue;
                            }
                            TensorPrimitives.Subtract(row, logSum, row);
                            TensorPrimitives.Exp(row, row);
                            TensorPrimitives.Subtract(gradient, dots[i], gradient);
                            TensorPrimitives.Multiply(gradient, row, gradient);
                            if (slopes != null) TensorPrimitives.Multiply(gradient, new ReadOnlySpan<float>(slopes + (i * KeyTile), columns), gradient);
                        }
                        Multiply<V>(true, false, columns, dv, rows, 1f, p, KeyTile, g, dv, 1f, KeyAt(ValueGradient, batch, keyHead, key, dv), dv);
                        Multiply<V>(false, false, rows, d, columns, Shape.Scale, ds, KeyTile, KeyAt(Key, batch, keyHead, key, d), d, 1f, QueryAt(QueryGradient, batch, head, query, d), d);
                        Multiply<V>(true, false, columns, d, rows, Shape.Scale, ds, KeyTile, QueryAt(Query, batch, head, query, d), d, 1f, KeyAt(KeyGradient, batch, keyHead, key, d), d);
                    }
                }
            }
        }
    }
}
