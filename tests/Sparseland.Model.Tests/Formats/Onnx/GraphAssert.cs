using Sparseland.Model.Graph;

namespace Sparseland.Model.Tests.Formats.Onnx;

/// <summary>Equality of graphs: everything but where the values of weights are stored.</summary>
internal static class GraphAssert
{
    internal static void Equal(ModelGraph expected, ModelGraph actual, string what = "")
    {
        if (expected.Name.Length > 0) Assert.Equal(expected.Name, actual.Name);
        Assert.Equal(expected.Inputs, actual.Inputs);
        Assert.Equal(expected.Outputs, actual.Outputs);
        Assert.Equal(expected.Metadata, actual.Metadata);
        Assert.Equal(expected.CustomDomains, actual.CustomDomains);
        Assert.Equal(expected.Weights.Keys, actual.Weights.Keys);
        foreach ((string name, Weight weight) in expected.Weights)
        {
            Same(weight.Read(), actual.Weights[name].Read(), $"{what} weight '{name}'");
            Assert.Equal(weight.Mask, actual.Weights[name].Mask);
        }
        Assert.Equal(expected.Nodes.Count, actual.Nodes.Count);
        for (int i = 0; i < expected.Nodes.Count; i++) Equal(expected.Nodes[i], actual.Nodes[i], what);
    }

    private static void Equal(Node expected, Node actual, string what)
    {
        Assert.Equal(expected.ToString(), actual.ToString());
        Assert.Equal(expected.Domain, actual.Domain);
        Assert.Equal(expected.Attributes.Names, actual.Attributes.Names);
        foreach (string key in expected.Attributes.Names)
        {
            object e = expected.Attributes.Value(key)!, a = actual.Attributes.Value(key)!;
            string where = $"{what} {expected} attribute '{key}'";
            Assert.True(e.GetType() == a.GetType(), $"{where}: {a.GetType()}, expected {e.GetType()}");
            switch (e)
            {
                case TensorData t: Same(t, (TensorData)a, where); break;
                case ModelGraph g: Equal(g, (ModelGraph)a, where); break;
                case TensorData[] ts: Assert.All(ts.Zip((TensorData[])a), p => Same(p.First, p.Second, where)); break;
                case ModelGraph[] gs: Assert.All(gs.Zip((ModelGraph[])a), p => Equal(p.First, p.Second, where)); break;
                case float f: Assert.Equal(BitConverter.SingleToInt32Bits(f), BitConverter.SingleToInt32Bits((float)a)); break;
                default: Assert.Equal(e, a); break;
            }
        }
    }

    internal static void Same(TensorData expected, TensorData actual, string what)
    {
        Assert.True(expected.ToString() == actual.ToString(), $"{what}: {actual}, expected {expected}");
        if (expected.ElementType == ElementType.String) Assert.Equal(expected.Array<string>(), actual.Array<string>());
        else Assert.True(expected.Bytes().SequenceEqual(actual.Bytes()), $"{what}: elements differ");
    }
}
