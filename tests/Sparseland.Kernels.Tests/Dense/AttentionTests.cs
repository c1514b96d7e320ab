using Sparseland.Kernels.Dense;
using static Sparseland.Kernels.Tests.Dense.DenseTesting;

namespace Sparseland.Kernels.Tests.Dense;

[Collection("threads")]
public sealed class AttentionTests
{
    public static IEnumerable<object[]> Shapes()
    {
        yield return [new Attention(1, 1, 1, 1, 1, 1)];
        yield return [new Attention(2, 4, 2, 7, 9, 8)];
        yield return [new Attention(1, 2, 2, 70, 150, 16) { ValueSize = 24 }];
        yield return [new Attention(1, 4, 1, 65, 65, 32) { Causal = true }];
        yield return [new Attention(2, 2, 1, 1, 300, 16) { Causal = true, CausalOffset = 299 }];
        yield return [new Attention(2, 2, 2, 5, 20, 8) { Causal = true, CausalOffset = 10, SoftCap = 3f, KeyCapacity = 32 }];
        yield return [new Attention(1, 2, 2, 6, 6, 4) { Causal = true, CausalOffset = -3, Scale = 0.7f }];
        // Whole registers on every level: nothing is copied but the rows that no product may read beyond; two query heads for each key head.
        yield return [new Attention(2, 4, 2, 133, 141, 32) { ValueSize = 16 }];
        yield return [new Attention(1, 2, 1, 80, 200, 48) { ValueSize = 64, Causal = true, CausalOffset = 70, SoftCap = 4f, KeyCapacity = 201 }];
        yield return [new Attention(1, 1, 1, 66, 3, 16)];
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void AgreesWithTheDefinition(Attention shape)
    {
        foreach (bool masked in (bool[])[false, true])
        {
            Case c = new(shape, masked);
            float[] actual = SameEverywhere(() =>
            {
                var y = new float[c.OutputLength];
                c.Shape.Forward(c.Query, c.Key, c.Value, y, c.Lengths, c.Bias);
                return y;
            }, shape.ToString());
            Near.Equal(c.Reference().Select(v => (float)v).ToArray(), actual, 2e-5, 1e-5, $"{shape} masked {masked}");
        }
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void GradientsAgreeWithFiniteDifferences(Attention shape)
    {
        foreach (bool masked in (bool[])[false, true])
        {
            Case c = new(shape, masked);
            float[] g = Random(c.OutputLength, 7);
            float[] all = SameEverywhere(() =>
            {
                float[] y = new float[c.OutputLength], lse = new float[shape.Batch * shape.QueryHeads * shape.Queries];
                float[] dq = new float[c.Query.Length], dk = new float[c.Key.Length], dv = new float[c.Value.Length];
                c.Shape.Forward(c.Query, c.Key, c.Value, y, c.Lengths, c.Bias, lse);
                c.Shape.Backward(c.Query, c.Key, c.Value, y, lse, g, dq, dk, dv, c.Lengths, c.Bias);
                return [.. dq, .. dk, .. dv];
            }, shape.ToString());
            CheckSlopes(c, g, all, 0, probes: 6);
        }
    }

    // Some gradients of query, key and value, which lie in this order from start on, against differences of the definition. Returns where they end.
    private static int CheckSlopes(Case c, float[] g, float[] gradients, int start, int probes)
    {
        var random = new Random(3);
        foreach (float[] values in (float[][])[c.Query, c.Key, c.Value])
        {
            for (int probe = 0; probe < probes; probe++)
            {
                int i = random.Next(values.Length);
                // An element of a sequence and a head moves results of these alone, one of a query those of its row.
                Attention s = c.Shape;
                bool isQuery = values == c.Query;
                int slice = i / (values.Length / (s.Batch * (isQuery ? s.QueryHeads : s.KeyHeads))), group = isQuery ? 1 : s.QueryHeads / s.KeyHeads;
                int first = slice * group * s.Queries, rows = group * s.Queries;
                if (isQuery) (first, rows) = (i / s.HeadSize, 1);
                double slope = NormalizationTests.Slope(values, i, () => c.Reference(first, rows).Zip(g.Skip(first * s.ValueSize), (a, b) => a * b).Sum());
                Assert.Equal(slope, gradients[start + i], 1e-3);
            }
            start += values.Length;
        }
        return start;
    }

    public static TheoryData<string> Patterns() => ["blocks per head", "blocks", "tokens", "keys of a sequence", "plain blocks, causal", "nothing", "soft cap, blocks, grouped"];

    [Theory]
    [MemberData(nameof(Patterns))]
    public void WhatABiasHidesIsLeftOutAndNothingElseChanges(string name)
    {
        Case c = Hiding(name);
        Attention shape = c.Shape;
        AttentionPattern pattern = AttentionPattern.FromBias(shape, c.Bias)!;
        (int computed, int visible, int tiles) = Tiles(c, pattern);
        Assert.True(computed <= visible && computed < 0.75 * tiles, $"{computed} tiles of {tiles} are computed, {visible} hold a score");
        if (name.Contains("blocks")) Assert.Equal(visible, computed);
        float[] g = Random(c.OutputLength, 7);
        int biasLength = shape.BiasBatches * shape.BiasHeads * shape.Queries * shape.Keys;
        float[] all = SameEverywhere(() =>
        {
            float[] y = Random(c.OutputLength, 9), lse = new float[shape.Batch * shape.QueryHeads * shape.Queries];
            float[] dq = Random(c.Query.Length, 9), dk = Random(c.Key.Length, 9), dv = Random(c.Value.Length, 9), db = Random(biasLength, 9);
            shape.Forward(c.Query, c.Key, c.Value, y, default, c.Bias, lse);
            shape.Backward(c.Query, c.Key, c.Value, y, lse, g, dq, dk, dv, default, c.Bias, db);
            return [.. y, .. dq, .. dk, .. dv, .. db];
        }, name);
        Near.Equal(c.Reference().Select(v => (float)v).ToArray(), all.AsSpan(0, c.OutputLength), 2e-5, 1e-5, name);
        int start = CheckSlopes(c, g, all, c.OutputLength, probes: 5);
        var random = new Random(3);
        // The gradient has a row per query even where queries share a row of the bias: those are summed by the caller.
        for (int probe = 0; probe < 8; probe++)
        {
            int i = random.Next(c.Bias.Length);
            if (float.IsNegativeInfinity(c.Bias[i])) continue;
            double slope = NormalizationTests.Slope(c.Bias, i, () => c.Reference().Zip(g, (a, b) => a * b).Sum()), sum = 0;
            if (shape.BiasQueryStride != 0) sum = all[start + i];
            else for (int q = 0; q < shape.Queries; q++) sum += all[start + (((i / shape.Keys * shape.Queries) + q) * shape.Keys) + (i % shape.Keys)];
            Assert.Equal(slope, sum, 1e-3);
        }
        for (int i = 0; i < c.Bias.Length && shape.BiasQueryStride != 0; i++) if (float.IsNegativeInfinity(c.Bias[i])) Assert.Equal(0f, all[start + i]);
    }

    [Theory]
    [InlineData(1, 64)]
    [InlineData(4, 64)]
    [InlineData(4, 128)]
    public void BlocksAreTheBiasThatHidesThem(int heads, int block)
    {
        const int queries = 150, keys = 200;
        Attention shape = new Attention(2, 4, 2, queries, keys, 8) { ValueSize = 12 };
        int down = (queries + block - 1) / block, across = (keys + block - 1) / block;
        var random = new Random(5);
        bool[] visible = [.. Enumerable.Range(0, heads * down * across).Select(_ => random.Next(2) == 0)];
        float[] bias = new float[heads * queries * keys];
        for (int i = 0; i < bias.Length; i++)
        {
            int head = i / (queries * keys), query = i / keys % queries, key = i % keys;
            if (!visible[(((head * down) + (query / block)) * across) + (key / block)]) bias[i] = float.NegativeInfinity;
        }
        Attention biased = shape with { BiasHeadStride = heads == 1 ? 0 : queries * keys, BiasQueryStride = keys };
        Case c = new(shape, false);
        float[] g = Random(c.OutputLength, 7);
        float[] Passes(Attention a, float[] b, AttentionPattern? pattern)
        {
            float[] y = Random(c.OutputLength, 9), lse = new float[2 * 4 * queries], dq = new float[c.Query.Length], dk = new float[c.Key.Length], dv = new float[c.Value.Length];
            a.Forward(c.Query, c.Key, c.Value, y, default, b, lse, pattern);
            a.Backward(c.Query, c.Key, c.Value, y, lse, g, dq, dk, dv, default, b, default, pattern);
            return [.. y, .. lse, .. dq, .. dk, .. dv];
        }
        float[] blocks = SameEverywhere(() => Passes(shape, [], AttentionPattern.FromBlocks(shape, block, heads, visible)), "blocks");
        Assert.Equal(Passes(biased, bias, null), blocks);
        Assert.Equal(blocks, Passes(biased, bias, AttentionPattern.FromBias(biased, bias)));
        Assert.Equal(blocks, Passes(biased, bias, AttentionPattern.FromBiasAsNeeded(biased, bias)));
        Assert.NotEqual(Passes(shape, [], null), blocks);
        if (heads == 1) return;
        // The rows of all heads of a query side by side.
        float[] inside = new float[bias.Length];
        for (int i = 0; i < bias.Length; i++) inside[(((i / keys % queries * heads) + (i / (queries * keys))) * keys) + (i % keys)] = bias[i];
        Attention nested = shape with { BiasHeadStride = keys, BiasQueryStride = heads * keys };
        AttentionPattern unread = AttentionPattern.FromBiasAsNeeded(nested, inside)!;
        Assert.True(unread.IsUnread(1, 3, 2));
        Assert.Equal(blocks, Passes(nested, inside, unread));
        Assert.False(unread.IsUnread(1, 3, 2));
    }

    [Theory]
    [InlineData("blocks")]
    [InlineData("blocks and numbers")]
    [InlineData("blocks and single numbers")]
    [InlineData("blocks and single ones that are none")]
    [InlineData("a triangle")]
    [InlineData("nothing seen")]
    [InlineData("not a number")]
    public void ABiasMayBeReadTileByTile(string name)
    {
        // The last tile of queries and the last panel of keys are not full, nor are the last four rows.
        const int queries = 299, keys = 1100;
        Attention shape = new Attention(2, 3, 3, queries, keys, 8) { BiasBatchStride = 3 * queries * keys, BiasHeadStride = queries * keys, BiasQueryStride = keys };
        var random = new Random(5);
        bool[] visible = [.. Enumerable.Range(0, 6 * 5 * 18).Select(_ => random.Next(4) == 0)];
        float[] bias = new float[6 * queries * keys];
        for (int i = 0; i < bias.Length; i++)
        {
            int slice = i / (queries * keys), query = i / keys % queries, key = i % keys;
            bool seen = name == "a triangle" ? key <= query : name != "nothing seen" && visible[(((slice * 5) + (query / 64)) * 18) + (key / 64)];
            if (!seen) bias[i] = float.NegativeInfinity;
            else if (name == "blocks and numbers") bias[i] = random.NextSingle();
            else if (name == "not a number" && key == 1099) bias[i] = float.NaN;
        }
        // One score of some tiles, whichever row and column it has, is seen or is not zero: NaN has all bits of negative infinity and more, 0.5 only such as that has too.
        for (int tile = 0; name.Contains("single") && tile < 6 * 5 * 35; tile++)
        {
            int query = (tile / 35 % 5 * 64) + random.Next(64), key = (tile % 35 * 32) + random.Next(32);
            if (tile % 3 == 0 && query < queries && key < keys) bias[(((tile / 175 * queries) + query) * keys) + key] = name.EndsWith("none") ? float.NaN : 0.5f;
        }
        Case c = new(shape, bias);
        float[] Pass(AttentionPattern pattern)
        {
            float[] y = new float[c.OutputLength], lse = new float[6 * queries];
            shape.Forward(c.Query, c.Key, c.Value, y, default, bias, lse, pattern);
            return [.. y, .. lse];
        }
        AttentionPattern once = AttentionPattern.FromBias(shape, bias)!, later = AttentionPattern.FromBiasAsNeeded(shape, bias)!;
        Assert.Equal(name != "a triangle", later.IsUnread(0, 1, 1));
        float[] expected = Pass(once);
        Assert.Equal(expected, Pass(later));
        Assert.False(later.IsUnread(0, 1, 1));
        Assert.Equal(expected, SameEverywhere(() => Pass(AttentionPattern.FromBiasAsNeeded(shape, bias)!), name));
        for (int slice = 0; slice < 6; slice++)
        {
            for (int tile = 0; tile < 5; tile++) Assert.Equal(once.At(slice / 3, slice % 3).Row(tile).ToArray(), later.At(slice / 3, slice % 3).Row(tile).ToArray());
        }
    }

    [Fact]
    public void RefusesPatternsOfOtherScores()
    {
        var shape = new Attention(1, 1, 1, 64, 64, 1);
        AttentionPattern pattern = AttentionPattern.FromBlocks(shape, 64, 1, [true]);
        float[] x = new float[64], other = new float[128];
        Assert.Throws<ArgumentException>(() => AttentionPattern.FromBlocks(shape, 32, 1, [true]));
        Assert.Throws<ArgumentException>(() => AttentionPattern.FromBlocks(shape, 64, 2, [true, true]));
        Assert.Throws<ArgumentException>(() => AttentionPattern.FromBlocks(shape, 64, 1, [true, true]));
        Assert.Throws<ArgumentException>(() => new Attention(1, 1, 1, 64, 128, 1).Forward(x, other, other, x, default, default, default, pattern));
        Assert.Throws<ArgumentException>(() => shape.Forward(x, x, x, x, default, new float[64], default, pattern));
        Assert.Throws<ArgumentException>(() => (shape with { BiasQueryStride = 64 }).Forward(x, x, x, x, default, default, default, AttentionPattern.FromBias(shape with { BiasQueryStride = 64 }, new float[4096])));
        // A bias that all sequences, heads or queries share says nothing about one of their own.
        var several = new Attention(2, 2, 2, 64, 64, 1);
        float[] large = new float[256], bias = new float[4 * 4096];
        Attention own = several with { BiasBatchStride = 2 * 4096, BiasHeadStride = 4096, BiasQueryStride = 64 };
        foreach (Attention shared in (Attention[])[own with { BiasBatchStride = 0 }, own with { BiasHeadStride = 0, BiasBatchStride = 4096 }, own with { BiasHeadStride = 0, BiasBatchStride = 0 }, several with { BiasBatchStride = 128, BiasHeadStride = 64 }])
        {
            ReadOnlySpan<float> part = bias.AsSpan(0, shared.BiasBatches * shared.BiasHeads * (shared.BiasQueryStride == 0 ? 64 : 4096));
            AttentionPattern read = AttentionPattern.FromBias(shared, part)!;
            shared.Forward(large, large, large, large, default, part, default, read);
            Assert.Throws<ArgumentException>(() => own.Forward(large, large, large, large, default, bias, default, read));
        }
    }

    // How many tiles of all slices are computed, hold a score that the bias does not hide, and are there.
    private static (int Computed, int Visible, int All) Tiles(Case c, AttentionPattern pattern)
    {
        Attention s = c.Shape;
        int computed = 0, visible = 0, all = 0;
        for (int b = 0; b < s.Batch; b++)
        {
            for (int h = 0; h < s.QueryHeads; h++)
            {
                AttentionPattern.Slice slice = pattern.At(b, h);
                for (int tile = 0; tile * AttentionPattern.QueryTile < slice.QueryCount; tile++)
                    foreach (byte flags in slice.Row(tile)) computed += flags & AttentionPattern.Visible;
                for (int query = 0; query < s.Queries; query += AttentionPattern.QueryTile)
                {
                    for (int key = 0; key < s.Keys; key += AttentionPattern.KeyPanel, all++)
                    {
                        bool seen = false;
                        for (int i = query; i < Math.Min(s.Queries, query + AttentionPattern.QueryTile); i++)
                        {
                            for (int j = key; j < Math.Min(s.Keys, key + AttentionPattern.KeyPanel); j++)
                                seen |= !float.IsNegativeInfinity(c.Bias[(b * s.BiasBatchStride) + (h * s.BiasHeadStride) + (i * s.BiasQueryStride) + j]);
                        }
                        if (seen) visible++;
                    }
                }
            }
        }
        return (computed, visible, all);
    }

    // Biases of negative infinity in blocks of 32 x 32, or for whole tokens.
    private static Case Hiding(string name)
    {
        const int queries = 130, keys = 150;
        var random = new Random(11);
        Attention shape = new Attention(2, 2, name.Contains("grouped") ? 1 : 2, queries, keys, 8) { ValueSize = 12, BiasQueryStride = keys };
        if (name.Contains("causal")) shape = shape with { Causal = true, CausalOffset = 20 };
        if (name.Contains("cap")) shape = shape with { SoftCap = 2f };
        int slices = name == "blocks per head" ? 4 : 1;
        if (slices == 4) shape = shape with { BiasBatchStride = 2 * queries * keys, BiasHeadStride = queries * keys };
        if (name == "keys of a sequence") (slices, shape) = (2, shape with { BiasBatchStride = keys, BiasQueryStride = 0 });
        int rows = shape.BiasQueryStride == 0 ? 1 : queries;
        float[] bias = name.Contains("plain") ? new float[slices * rows * keys] : Random(slices * rows * keys, 4);
        for (int s = 0; s < slices; s++)
        {
            bool[] query = [.. Enumerable.Range(0, rows).Select(_ => rows == 1 || random.Next(3) == 0)], key = [.. Enumerable.Range(0, keys).Select(_ => random.Next(3) == 0)];
            bool[] blocks = [.. Enumerable.Range(0, 64).Select(_ => random.Next(4) == 0)];
            for (int i = 0; i < rows; i++)
            {
                for (int j = 0; j < keys; j++)
                {
                    bool seen = name == "nothing" ? i < 40 && j < 20 && s > 0 : name.Contains("blocks") ? blocks[(i / 32 / 2 * 8) + (j / 32)] : query[i] && key[j];
                    if (!seen) bias[(((s * rows) + i) * keys) + j] = float.NegativeInfinity;
                }
            }
        }
        return new Case(shape, bias);
    }

    [Theory]
    [InlineData(float.NaN, float.NaN)]
    [InlineData(float.PositiveInfinity, float.NaN)]
    [InlineData(float.NegativeInfinity, 0f)]
    public void ScoresThatAreNotNumbersReachTheirQueryAlone(float score, float expected)
    {
        // One score of one query, in the second tile of keys and in a row without another visible key.
        foreach ((int query, int key) in ((int, int)[])[(5, 130), (9, 2), (66, 199)])
        {
            foreach (bool alone in (bool[])[false, true])
            {
                var shape = new Attention(1, 1, 1, 67, 200, 16) { BiasQueryStride = 200 };
                float[] q = Random(67 * 16, 1), k = Random(200 * 16, 2), v = Random(200 * 16, 3), bias = new float[67 * 200];
                if (alone) bias.AsSpan(query * 200, 200).Fill(float.NegativeInfinity);
                bias[(query * 200) + key] = score;
                float[] y = SameEverywhere(() =>
                {
                    var result = new float[67 * 16];
                    shape.Forward(q, k, v, result, default, bias);
                    return result;
                }, $"{score} at {query}, {key}");
                for (int i = 0; i < y.Length; i++)
                {
                    if (i / 16 != query || (!alone && expected == 0f)) Assert.True(float.IsFinite(y[i]), $"{y[i]} at {i}");
                    else Assert.Equal(expected, y[i]);
                }
            }
        }
    }

    /// <summary>In a query, a key and a value, with fewer queries than threads and with two tiles of them, beside keys of which a bias hides some with what they hold.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(67)]
    public void ValuesThatAreNotNumbersGoWhereTheDefinitionSendsThem(int queries)
    {
        const int Keys = 200, Size = 16, Key = 130;
        Attention shape = new Attention(1, 1, 1, queries, Keys, Size) { BiasQueryStride = Keys };
        foreach (float special in SparseOps.SparseTesting.Special)
        {
            foreach (bool isHidden in (bool[])[false, true])
            {
                float[] bias = new float[queries * Keys];
                // Keys 128 to 191 of the first tile of queries.
                for (int i = 0; isHidden && i < bias.Length; i++) if (i / Keys < 64 && i % Keys / 64 == 2) bias[i] = float.NegativeInfinity;
                foreach (Func<Case, float[]> where in (Func<Case, float[]>[])[c => c.Query, c => c.Key, c => c.Value])
                {
                    var c = new Case(shape, bias);
                    float[] values = where(c);
                    values[values.Length / Size > Key ? (Key * Size) + 3 : values.Length - 13] = special;
                    float[] expected = [.. c.Reference().Select(v => (float)v)];
                    SparseOps.SparseTesting.Everywhere(expected.Length, expected, y => shape.Forward(c.Query, c.Key, c.Value, y, default, bias, default, AttentionPattern.FromBias(shape, bias)), $"{special}, hidden {isHidden}", near: true);
                }
            }
        }
    }

    [Fact]
    public void AQueryWithoutKeysGivesZeros()
    {
        var shape = new Attention(1, 1, 1, 2, 3, 4);
        float[] y = Random(8, 1), lse = new float[2];
        shape.Forward(Random(8, 2), Random(12, 3), Random(12, 4), y, [0], default, lse);
        Assert.All(y, v => Assert.Equal(0f, v));
        Assert.All(lse, v => Assert.Equal(float.NegativeInfinity, v));
    }

    [Fact]
    public void RefusesImpossibleShapes()
    {
        Assert.Throws<ArgumentException>(() => new Attention(1, 3, 2, 1, 1, 1).Forward(new float[3], new float[2], new float[2], new float[3]));
        Assert.Throws<ArgumentException>(() => new Attention(1, 1, 1, 1, 4, 1).Forward(new float[1], new float[4], new float[4], new float[1], [5]));
    }

    private sealed class Case
    {
        public Case(Attention shape, bool masked)
        {
            Shape = shape with { BiasBatchStride = masked ? shape.Queries * shape.Keys : 0, BiasQueryStride = masked ? shape.Keys : 0 };
            Query = Random(shape.Batch * shape.QueryHeads * shape.Queries * shape.HeadSize, 1, 2f);
            Key = Random(shape.Batch * shape.KeyHeads * shape.KeyCapacity * shape.HeadSize, 2, 2f);
            Value = Random(shape.Batch * shape.KeyHeads * shape.KeyCapacity * shape.ValueSize, 3);
            if (!masked) return;
            Bias = Random(shape.Batch * shape.Queries * shape.Keys, 4);
            for (int i = 0; i < Bias.Length; i += 5) Bias[i] = float.NegativeInfinity;
            Lengths = Enumerable.Range(0, shape.Batch).Select(i => Math.Max(1, shape.Keys - (2 * i) - 1)).ToArray();
        }

        public Case(Attention shape, float[] bias) : this(shape, false) => (Shape, Bias) = (shape, bias);

        public Attention Shape { get; }

        public float[] Query { get; }

        public float[] Key { get; }

        public float[] Value { get; }

        public float[] Bias { get; } = [];

        public int[] Lengths { get; } = [];

        public int OutputLength => Shape.Batch * Shape.QueryHeads * Shape.Queries * Shape.ValueSize;

        public double[] Reference() => Reference(0, Shape.Batch * Shape.QueryHeads * Shape.Queries);

        // Of some rows [batch, head, query] of the result.
        public double[] Reference(int firstRow, int rows)
        {
            var y = new double[rows * Shape.ValueSize];
            int group = Shape.QueryHeads / Shape.KeyHeads;
            for (int row = firstRow; row < firstRow + rows; row++)
            {
                int i = row % Shape.Queries, h = row / Shape.Queries % Shape.QueryHeads, b = row / Shape.Queries / Shape.QueryHeads;
                int keys = Lengths.Length == 0 ? Shape.Keys : Lengths[b], first = ((b * Shape.KeyHeads) + (h / group)) * Shape.KeyCapacity;
                if (Shape.Causal) keys = Math.Clamp(i + Shape.CausalOffset + 1, 0, keys);
                var weights = new double[keys];
                double sum = 0;
                bool IsHidden(int j) => Bias.Length > 0 && float.IsNegativeInfinity(Bias[(b * Shape.BiasBatchStride) + (h * Shape.BiasHeadStride) + (i * Shape.BiasQueryStride) + j]);
                for (int j = 0; j < keys; j++)
                {
                    // What is hidden is left out, whatever it holds.
                    if (IsHidden(j)) continue;
                    double s = 0;
                    for (int d = 0; d < Shape.HeadSize; d++) s += (double)Query[(row * Shape.HeadSize) + d] * Key[((first + j) * Shape.HeadSize) + d];
                    s *= Shape.Scale;
                    if (Shape.SoftCap > 0) s = Shape.SoftCap * Math.Tanh(s / Shape.SoftCap);
                    if (Bias.Length > 0) s += Bias[(b * Shape.BiasBatchStride) + (h * Shape.BiasHeadStride) + (i * Shape.BiasQueryStride) + j];
                    sum += weights[j] = Math.Exp(s);
                }
                if (sum == 0) continue;
                for (int j = 0; j < keys; j++)
                {
                    for (int d = 0; d < Shape.ValueSize && !IsHidden(j); d++) y[((row - firstRow) * Shape.ValueSize) + d] += weights[j] / sum * Value[((first + j) * Shape.ValueSize) + d];
                }
            }
            return y;
        }
    }
}
